"""docs/papers.md: each row's tag stands in a comment of its file, exactly once, and no tag lacks its row."""

import re
from pathlib import Path

import pytest

from bigan import systems

ROOT = Path(__file__).parent.parent
TABLE = ROOT / "docs" / "papers.md"
pytestmark = pytest.mark.skipif(not TABLE.exists(), reason="no docs/ beside the tests")
TAG = re.compile(r"#\s*((?:eq|alg|l)\.\s.*?)\s*$")  # a comment that begins like a tag
ROW = re.compile(r"\| (\w+) \| (.+) \| (.+) \| `(.+)` \| `(.+)` \|")


def rows() -> list[tuple[str, str, str]]:
    """(system, file, tag) of each row of the table."""
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    table = [line for line in lines if line.startswith("|")][2:]
    found = [ROW.fullmatch(line) for line in table]
    assert all(found), table[found.index(None)]
    return [(m[1], m[4], m[5]) for m in found if m]


def tags(file: str) -> list[str]:
    """All that stand in the file."""
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    return [m[1] for line in lines if (m := TAG.search(line))]


@pytest.mark.parametrize("name", systems.names())
def test_tags_and_rows_are_one_to_one(name):
    listed = {}
    for system, file, tag in rows():
        if system == name:
            listed.setdefault(file, []).append(tag)
    assert f"bigan/systems/{name}.py" in listed
    for file, expected in listed.items():
        assert sorted(tags(file)) == sorted(expected), file


def test_every_row_is_of_a_system():
    assert {system for system, *_ in rows()} <= set(systems.names())
