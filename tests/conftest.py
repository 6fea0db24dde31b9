"""What every test starts from: the device, Triton's interpreter where there is no GPU, seeds."""

import os
from pathlib import Path

import pytest
import torch
import verified

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")  # before the first `import triton`

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # of child processes: they share the cores with the tests
if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
    threads = max(1, (os.cpu_count() or 1) // int(workers))
    torch.set_num_threads(threads)
    os.environ["OMP_NUM_THREADS"] = str(threads)  # of child processes: with as many they give the same bits


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


VERIFIED = verified.Table()


def pytest_addoption(parser):
    parser.addoption("--verification-table", metavar="FILE", help="write what was verified of each operator")


def pytest_runtest_logreport(report):
    verified.count(VERIFIED, report)


def pytest_terminal_summary(terminalreporter, config):
    if not VERIFIED:
        return
    terminalreporter.section("verified: tests passed, by operator and backend")
    for line in verified.plain(VERIFIED):
        terminalreporter.write_line(line)
    if path := config.getoption("--verification-table"):
        Path(path).write_text(verified.markdown(VERIFIED))


def pytest_sessionfinish(session):
    verified.hand_up(VERIFIED)


def pytest_collection_modifyitems(config, items):
    for item in items:
        if what := verified.of_item(item):
            item.user_properties.append(("verified", what))
    kept = [item for item in items if _worth_its_time(item)]
    if len(kept) < len(items):
        config.hook.pytest_deselected(items=[item for item in items if item not in set(kept)])
        items[:] = kept


def _worth_its_time(item) -> bool:
    """Kernels that are interpreted or emulated on a CPU are slow.

    Of the operators' tests they run every shape and layout in float32, the other types at a round and an odd
    shape; Triton one case an operator of what depends more on Python than on the kernel.
    """
    values = getattr(item, "callspec", None) and item.callspec.params
    if not values or "case" not in values or torch.cuda.is_available():
        return True
    emulated = "emulation" in item.path.parts
    if not emulated and values.get("backend") != "triton":
        return True
    case = values["case"]
    if os.environ.get("BIGAN_EMULATION", "host") != "host":  # sanitized: what else touches memory
        if item.originalname in ("test_second_gradients", "test_opcheck", "test_same_bits_again"):
            return False
        if values.get("dtype") in (torch.float64, torch.float16):
            return False
    if item.originalname == "test_matches_reference":
        plain = values["layout"].__name__ == "contiguous" and values["shape"] in case.shapes[:2]
        return plain or values["dtype"] == torch.float32
    if item.originalname in ("test_second_gradients", "test_same_bits_again"):
        return emulated or case.raw is not None
    return True
