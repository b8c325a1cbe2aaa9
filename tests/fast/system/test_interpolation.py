"""Variables in compose files, and the files that set them."""

from __future__ import annotations

from pathlib import Path

import pytest

from branchpoint.errors import ComposeError
from branchpoint.system.compose.tree.interpolation import Interpolator, read_env_file


def located(line: int, message: str, hint: str = "") -> ComposeError:
    return ComposeError(message, Path("f"), line, hint)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$A-${A}", "1-1"),
        ("${E:-d}|${E-d}|${U:-d}|${U-d}", "d||d|d"),
        ("${A:+x}|${E:+x}|${E+x}|${U+x}", "x||x|"),
        ("${U:-${A}}", "1"),
        ("${U:-${V:-$$}}", "$"),
        ("$$A $${A}", "$A ${A}"),
        ("${A:?no} ${U:-a}b}", "1 ab}"),
        ("no variable", "no variable"),
        ("${U:-{}} ${A}", "{} 1"),
        ('${U:-{"a": {"b": "$A"}}}|', '{"a": {"b": "1"}}|'),
        ("${A:-{}} {${A}}", "1 {1}"),
        ("${U:-{${A}}}", "{1}"),
        ("${U:-{} x", "{ x"),
        ("${U:-{}${U:-{}}${U:-}}", "{}{}"),
    ],
)
def test_interpolation(text: str, value: str) -> None:
    assert Interpolator({"A": "1", "E": ""}, located)(text, 1) == value


@pytest.mark.parametrize("text", ["${A", "${U:-{", "${A:-${A}", "{}${U:-${U:-}"])
def test_what_is_never_closed_is_refused(text: str) -> None:
    with pytest.raises(ComposeError, match="is never closed"):
        Interpolator({"A": "1"}, located)(text, 1)


def test_braces_are_matched_in_one_pass() -> None:
    assert Interpolator({}, located)("${U:-{}" * 100_000, 1) == "{" * 100_000


def test_env_file_size(tmp_path: Path) -> None:
    file = tmp_path / "big.env"
    file.write_bytes(b"#" * (2 << 20))
    with pytest.raises(ComposeError, match="larger than 1024 KiB"):
        read_env_file(file, {}, earlier={})


def nested(depth: int) -> str:
    return "${U:-" * depth + "x" + "}" * depth


def test_defaults_may_be_nested_but_not_without_end() -> None:
    expand = Interpolator({}, located)
    assert expand(nested(16), 1) == "x"
    with pytest.raises(ComposeError, match="nested too deeply"):
        expand(nested(17), 1)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("#ff0000", "#ff0000"),
        (" #x", "#x"),
        ("a #x", "a"),
        ("a\t#x", "a\t#x"),
        ("a  # x # y", "a"),
        ("a#x", "a#x"),
        ("#x #y", "#x"),
        (r"a\nb", r"a\nb"),
        (r"'it\'s' # x", "it's"),
        (r"'a\\'", r"a\\"),
        (r"'a\n\"$B'", r"a\n\"$B"),
        (r'"a\"b"', 'a"b'),
        (r'"a\\"', "a\\"),
        (r'"a\nb\tc\rd\ae\bf\fg\vh"', "a\nb\tc\rd\ae\bf\fg\vh"),
        (r'"it\'s \c \x41 \q"', r"it\'s \c \x41 \q"),
        (r'"\0123\01014 \012 \0999 \0400 \0"', r"SA4 \12 \999 \400 " + "\\"),
        (r'"\$B $B \\$B"', "$B 2 \\2"),
        ('"a  \nb"', "a  \nb"),
        ("a\fb\u2028c\x85d", "a\fb\u2028c\x85d"),
        ("a\r", "a"),
    ],
)
def test_values_of_env_files(tmp_path: Path, written: str, value: str) -> None:
    file = tmp_path / "one.env"
    file.write_text(f"B=2\nA={written}\nC=3\n", newline="")
    assert read_env_file(file, {}, earlier={}) == {"A": value, "B": "2", "C": "3"}


def test_nul_in_an_env_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "one.env"
    file.write_text('A=1\nB="\\0000"\n')
    with pytest.raises(ComposeError, match=r"one\.env:2: a value must not contain NUL"):
        read_env_file(file, {}, earlier={})
