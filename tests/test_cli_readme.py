"""The README's code runs, its commands parse, its tables name what there is."""

import re
import shlex
from pathlib import Path

import pytest

from bigan import ops, systems
from bigan.cli import COMMANDS
from bigan.cli.train import resolve

README = Path(__file__).parent.parent / "README.md"
TEXT = README.read_text(encoding="utf-8") if README.exists() else ""
pytestmark = pytest.mark.skipif(not TEXT, reason="no README.md beside the tests")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def test_it_stays_short():
    assert len(TEXT.splitlines()) < 240
    assert max(len(line) for line in TEXT.splitlines() if not line.startswith("|")) <= 125


def test_the_two_commands_are_marked_for_ci():
    marked = re.findall(r"^<!-- ci: (\w+) -->\n```sh\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    assert [name for name, _ in marked] == ["quickstart", "test"]
    assert all(len(command.splitlines()) == 1 for _, command in marked)


def test_the_python_runs():
    scope: dict = {}
    code = blocks("python")
    assert code
    for block in code:
        exec(compile(block, "README.md", "exec"), scope)
    assert scope["encoder"].weight.grad is not None


def command_lines() -> list[list[str]]:
    words = [shlex.split(part) for block in blocks("sh") for part in re.split(r"\n|&&", block)]
    return [line[i:] for line in words for i, word in enumerate(line) if word.rpartition("/")[2] == "bigan"]


@pytest.mark.parametrize("line", command_lines(), ids=" ".join)
def test_the_commands_exist(line):
    assert line[1] in COMMANDS
    if line[1] == "train":
        resolve(line[2], line[3:])


def test_the_tables_are_complete():
    def column(heading: str) -> set[str]:
        table = TEXT.partition(f"| {heading} |")[2].partition("\n\n")[0]
        return set(re.findall(r"^\| `(?:bigan )?(\w+)", table, re.MULTILINE))

    assert column("op") == {*ops.names(), "gaussian_kl"}
    assert column("system") == set(systems.names())
    assert column("command") == set(COMMANDS)
    for name in systems.names():
        row = next(line for line in TEXT.splitlines() if line.startswith(f"| `{name}`"))
        assert all(f"`{preset}`" in row for preset in systems.load(name).PRESETS)
