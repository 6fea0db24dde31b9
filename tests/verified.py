"""What a test run verified of each operator in each backend: counted from the tests of test_ops.py, of
tests/emulation (in processes of their own, which hand their counts up in a file) and test_triton_aot.py.
"""

import json
import os
from collections import Counter
from pathlib import Path

KINDS = {  # test -> what it verifies, a column of the table
    "test_matches_reference": "value, gradient",
    "test_second_gradients": "2nd gradient",
    "test_opcheck": "opcheck",
    "test_compiles_whole_and_once": "compile",
    "test_same_bits_again": "same bits",
    "test_no_hidden_copies": "no copies",
    "test_every_schedule_gives_the_same_bits": "schedules",
    "test_launches_each_way": "launches",
    "test_every_tensor_is_read_or_written_once": "traffic",
    "test_ptx_matches_reference": "PTX",
    "aot": "AOT",
}
HAND_UP = "BIGAN_VERIFIED"  # the file that a child process writes
NOTE = """# What the tests verify, operator by operator

Made by `pytest --verification-table=docs/verification.md`: how many tests passed of each kind. *emulated* is
csrc/cuda executed on the CPU, *PTX* what nvcc made of it, interpreted ([emulation.md](emulation.md)); Triton runs
interpreted, *AOT* are compilations of its kernels for sm_80, sm_90, sm_100 and gfx942. No GPU took part.

"""

Table = Counter[tuple[str, str, str, bool]]  # (operator, backend, kind, whether it passed)


def of_item(item) -> tuple[str, str, str] | None:
    """(operator, backend, kind) of a test."""
    values = getattr(item, "callspec", None) and item.callspec.params
    kind = KINDS.get(getattr(item, "originalname", ""))
    if not values or not kind or "case" not in values:
        return None
    backend = "emulated" if "emulation" in item.path.parts else values.get("backend", "native")
    return values["case"].op, backend, kind


def count(table: Table, report) -> None:
    """A finished test's report."""
    if report.when != "call" or report.outcome == "skipped":
        return
    for name, value in report.user_properties:
        if name == "verified":
            table[(*value, report.passed)] += 1
        elif name == "verified by child":
            for *key, n in value:
                table[tuple(key)] += n


def hand_up(table: Table) -> None:
    """In a child process."""
    if path := os.environ.get(HAND_UP):
        Path(path).write_text(json.dumps([[*key, n] for key, n in table.items()]))


def from_child(path: Path) -> list[list]:
    return json.loads(path.read_text()) if path.exists() else []


def lines(table: Table) -> list[list[str]]:
    """The table's cells, its head first; nothing where nothing was verified."""
    kinds = [kind for kind in KINDS.values() if any(key[2] == kind for key in table)]
    rows = sorted({key[:2] for key in table})
    found = [["operator", "backend", *kinds]]
    for row in rows:
        cells = []
        for kind in kinds:
            passed, failed = table[(*row, kind, True)], table[(*row, kind, False)]
            cells.append(f"{passed}, {failed} FAILED" if failed else str(passed or ""))
        found.append([*row, *cells])
    return found


def plain(table: Table) -> list[str]:
    cells = lines(table)
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    return ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells]


def markdown(table: Table) -> str:
    head, *rows = lines(table)
    ruled = [head, ["---", "---", *["---:"] * (len(head) - 2)], *rows]
    return NOTE + "\n".join(f"| {' | '.join(row)} |" for row in ruled) + "\n"
