"""What the documents say is there is there."""

import ast
import re
from pathlib import Path

import pytest

from .servers import CHECKOUT

TESTS = CHECKOUT / "tests"
PARITY = (CHECKOUT / "docs" / "parity.md").read_text("utf-8")
# Number, promise, ours, tests.
ROWS = [
    (int(number), ours, tuple(re.findall(r"`([^`]+)`", shown_by)))
    for number, _, ours, shown_by in re.findall(r"^\| (\d+) \| (.+?) \| (.+?) \| (.+?) \|$", PARITY, re.MULTILINE)
]


def names_in(path: Path) -> set[str]:
    """Every test of a file, as `test_name` or `TestClass::test_name`."""
    found: set[str] = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        inside = [(f"{node.name}::", one) for one in node.body] if isinstance(node, ast.ClassDef) else [("", node)]
        found |= {prefix + one.name for prefix, one in inside if isinstance(one, ast.FunctionDef)}
    return {name for name in found if name.rpartition("::")[2].startswith("test_")}


@pytest.mark.parametrize("name", sorted({name for _, _, names in ROWS for name in names}))
def test_every_test_that_the_parity_table_names_exists(name: str) -> None:
    file, _, test = name.partition("::")
    assert test in names_in(TESTS / file)


def test_the_parity_table_has_every_number_and_a_test_for_each() -> None:
    assert [number for number, _, _ in ROWS] == [*range(1, 28), *range(48, 84)]
    assert all(names for _, _, names in ROWS)


def test_the_parity_table_says_of_each_whether_it_is_the_same() -> None:
    for number, ours, _ in ROWS:
        assert ours.startswith(("same", "differs: ")), number
