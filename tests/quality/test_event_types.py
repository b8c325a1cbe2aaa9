"""One table lists all types of events: agent, host and pages only use these."""

from __future__ import annotations

import re

import pytest
from tree import PACKAGE, ROOT

from branchpoint.events.types import TYPES, sign

GROUPS = {name.partition(".")[0] for name in TYPES if "." in name}
NAMED = re.compile(rf"""["']((?:{"|".join(sorted(GROUPS))})\.[a-z]+)["']""")
NO_TYPES = {"agent.h", "log.js", "terminal.js", "sdk.jsonl"}
"""File names that look like types."""


def names_in(pattern: str, *folders: str) -> dict[str, set[str]]:
    """The types that these files name, and where."""
    found: dict[str, set[str]] = {}
    for folder in folders:
        for path in (ROOT / folder).rglob(pattern):
            for name in NAMED.findall(path.read_text()):
                found.setdefault(name, set()).add(path.name)
    return {name: where for name, where in found.items() if name not in NO_TYPES}


@pytest.mark.parametrize(
    ("pattern", "folder"),
    [("*.py", "kernel/branchpoint"), ("*.ts", "extension/src"), ("*.[ch]", "kernel/branchpoint")],
)
def test_no_type_is_named_that_is_not_in_the_table(pattern: str, folder: str) -> None:
    named = names_in(pattern, folder)
    assert named
    assert {name: where for name, where in named.items() if name not in TYPES} == {}


def test_the_agent_says_what_the_table_says_of_it() -> None:
    said = set()
    for source in (PACKAGE / "guest" / "agent").rglob("*.c"):
        for call in re.findall(r"\bevent\(([^;]*);", source.read_text()):
            first = call.partition(",")[0]
            said |= set(re.findall(r'"([a-z.]+)"', first))
    ours = {each.name for each in TYPES.values() if each.said_by in ("agent", "both")}
    assert said == ours - {"log"}


def test_a_type_of_others_has_a_mark_all_the_same() -> None:
    assert sign("container.exit") == "exit"
    assert sign("fault.of_theirs") == "fault"
    assert sign("whatever") == "other"
