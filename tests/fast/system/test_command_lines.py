"""Commands written as one line: which words the engine makes of them, and what it drops."""

from __future__ import annotations

from pathlib import Path

import pytest

from branchpoint.errors import ComposeError
from branchpoint.system.compose.reading import load
from branchpoint.system.compose.services.commands import split


@pytest.mark.parametrize(
    ("line", "words", "dropped"),
    [
        ("", [], ""),
        (" a  b\tc ", ["a", "b", "c"], ""),
        ("a '' \"\"", ["a", "", ""], ""),
        ("a'b c'\"d e\"f", ["ab cd ef"], ""),
        (r"a\ b \"c\' \\", ["a b", "\"c'", "\\"], ""),
        (r"a\nb\tc \x", ["a\nb\tc", "x"], ""),
        (r'"a\nb \$c \"d"', ['a\nb $c "d'], ""),
        (r"'a\nb' 'c\'", [r"a\nb", "c\\"], ""),
        ("a && b", ["a"], "&& b"),
        ("a; b", ["a"], "; b"),
        ("a|b c", ["a"], "|b c"),
        ("a <in", ["a"], "<in"),
        ("a >out", ["a"], ">out"),
        ("a x2>out", ["a", "x2"], ">out"),
        ("a 2>&1", ["a"], "2>&1"),
        ("a 'b;c' \"d|e\" f\\&g", ["a", "b;c", "d|e", "f&g"], ""),
        ("a # b", ["a", "#", "b"], ""),
        ("a $(b c) d", ["a", "$(b c)", "d"], ""),
        ("a $('b;) d", ["a", "$('b;)", "d"], ""),
        ("a `b c|d` e", ["a", "`b c|d`", "e"], ""),
        ('a `b "c" (d)`', ["a", "`b c (d)`"], ""),
        ("'(' \")\" \\(", ["(", ")", "("], ""),
    ],
)
def test_lines_are_split_as_the_engine_does(line: str, words: list[str], dropped: str) -> None:
    assert split(line) == (words, dropped)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a (b)", r'"\(" is not in quotes'),
        ("a b)", r'"\)" is not in quotes'),
        ("a $(b $(c))", r'"\(" is not in quotes'),
        ("a 'b", "a quote is never closed"),
        ("a `b", "a quote is never closed"),
        ("a $(b", "a quote is never closed"),
        ("a b\\", "ends with a backslash"),
    ],
)
def test_lines_that_the_engine_refuses(line: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        split(line)


@pytest.mark.parametrize(
    "key", ["command: &", "entrypoint: &", "post_start: [{command: &}]"], ids=lambda key: key[:7]
)
def test_what_is_dropped_of_a_line_is_told(tmp_path: Path, key: str) -> None:
    file = tmp_path / "compose.yaml"
    written = key.replace("&", "'echo $$A > /x && sleep 9'")
    file.write_text(f"services:\n  a:\n    image: x\n    {written}\n")
    system = load(file, environ={})
    a = system.services["a"]
    assert ("echo", "$A") in (a.command, a.entrypoint, *(hook.command for hook in a.post_start))
    (note,) = system.notes
    assert note.line == 4
    assert 'ends before "> /x && sleep 9"' in note.text and "write sh -c '…'" in note.text


def test_a_refused_line_is_named(tmp_path: Path) -> None:
    file = tmp_path / "compose.yaml"
    file.write_text("services:\n  a:\n    image: x\n    command: (sleep 1)\n")
    with pytest.raises(ComposeError, match=r'compose\.yaml:4: "command": "\(" is not in') as told:
        load(file, environ={})
    assert "write sh -c" in told.value.hint
