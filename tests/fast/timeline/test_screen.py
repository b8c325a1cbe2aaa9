"""A screen shows what xterm would show, and accepts any bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from branchpoint.timeline.commands.screen import MOST_LINES, Screen


def shown(*data: str | bytes, rows: int = 4, columns: int = 10) -> list[str]:
    screen = Screen(rows, columns)
    for piece in data:
        screen.feed(piece.encode() if isinstance(piece, str) else piece)
    return screen.lines


@pytest.mark.parametrize(
    ("written", "lines"),
    [
        ("one\r\ntwo", ["one", "two", "", ""]),
        ("one\ntwo", ["one", "   two", "", ""]),
        ("abc\b\bX\rY", ["YXc", "", "", ""]),
        ("a\tb", ["a       b", "", "", ""]),
        ("0123456789", ["0123456789", "", "", ""]),
        ("0123456789ab", ["0123456789", "ab", "", ""]),
        ("0123456789\rx", ["x123456789", "", "", ""]),
        ("\x1b[31mred\x1b[0m\x1b[1;38;5;7mx", ["redx", "", "", ""]),
        ("\x1b]0;a title\x07x\x1b]8;;http://h/\x1b\\y", ["xy", "", "", ""]),
        ("abcdef\x1b[3D\x1b[K", ["abc", "", "", ""]),
        ("abcdef\x1b[3D\x1b[1K", ["    ef", "", "", ""]),
        ("abcdef\x1b[4D\x1b[2P\x1b[@x", ["abxef", "", "", ""]),
        ("abcdef\x1b[3G\x1b[2X", ["ab  ef", "", "", ""]),
        ("x\x1b[3;4Hy\x1b[Hz", ["z", "", "   y", ""]),
        ("x\x1b[99;99Hy", ["x", "", "", "         y"]),
        ("1\r\n2\r\n3\x1b[2;1H\x1b[J", ["1", "", "", ""]),
        ("1\r\n2\r\n3\x1b[2;1H\x1b[1J", ["", "", "3", ""]),
        ("1\r\n2\r\n3\x1b[2Jx", ["", "", " x", ""]),
        ("1\r\n2\r\n3\x1b[2;1H\x1b[L", ["1", "", "2", "3"]),
        ("1\r\n2\r\n3\x1b[1;1H\x1b[M", ["2", "3", "", ""]),
        ("1\r\n2\r\n3\r\n4\x1b[2;3r\x1b[3;1H\nx", ["1", "3", "x", "4"]),
        ("1\r\n2\r\n3\r\n4\x1b[2;3r\x1b[2;1H\x1bMx", ["1", "x", "2", "4"]),
        ("ab\x1b7cd\x1b8X", ["abXd", "", "", ""]),
        ("before\x1b[?1049h\x1b[Heditor\x1b[?1049l!", ["before!", "", "", ""]),
        ("漢字x\x1b[3Gy", ["漢yx", "", "", ""]),
        ("123456789漢", ["123456789", "漢", "", ""]),
        ("e\u0301x", ["e\u0301x", "", "", ""]),
        ("\x1b(0lqk\x1b(Bq", ["┌─┐q", "", "", ""]),
        ("\x1b[>c\x1b[?25l\x1b=\x1b[!px", ["x", "", "", ""]),
        ("a\x1b[31\x01b", ["a[31b", "", "", ""]),
        ("x\x1bcy", ["y", "", "", ""]),
    ],
)
def test_control_sequences_do_what_an_xterm_does(written: str, lines: list[str]) -> None:
    assert shown(written) == lines
    assert shown(*(bytes([byte]) for byte in written.encode())) == lines


def test_lines_that_leave_the_screen_stay_in_the_text() -> None:
    screen = Screen(3, 20)
    screen.feed(b"".join(b"line %d\r\n" % n for n in range(8)))
    assert screen.lines == ["line 6", "line 7", ""]
    assert screen.text == "".join(f"line {n}\n" for n in range(8))
    screen.feed(b"\x1b[?1049h" + b"of a pager\r\n" * 50)
    assert "pager" not in screen.text and screen.lines[0] == "of a pager"


def test_the_text_is_bounded() -> None:
    screen = Screen(3, 20)
    screen.feed(b"x\r\n" * (MOST_LINES + 500))
    assert screen.text.count("\n") == MOST_LINES + 2


def test_a_smaller_screen_keeps_the_cursor_s_line() -> None:
    screen = Screen(4, 10)
    screen.feed(b"1\r\n2\r\n3\r\n4 is long")
    screen.resize(2, 5)
    assert screen.lines == ["3", "4 is"] and screen.text == "1\n2\n3\n4 is\n"
    screen.resize(5, 80)
    screen.feed(b"\r5")
    assert screen.lines == ["3", "5 is", "", "", ""]


PIECES = st.one_of(
    st.binary(max_size=20),
    st.text(max_size=20).map(lambda text: text.encode(errors="replace")),
    st.builds(
        lambda numbers, final: b"\x1b[" + numbers + final,
        st.from_regex(rb"\??[0-9]{0,5}(;[0-9]{0,5}){0,3}", fullmatch=True),
        st.sampled_from([bytes([byte]) for byte in range(0x40, 0x7F)]),
    ),
    st.sampled_from([b"\x1b]", b"\x1bP", b"\x1b(0", b"\x1bM", b"\x1bD", b"\n" * 9, "漢".encode()]),
)


@given(
    st.integers(1, 30), st.integers(1, 90),
    st.lists(st.one_of(PIECES, st.tuples(st.integers(1, 30), st.integers(1, 90))), max_size=40),
)  # fmt: skip
def test_any_bytes_are_shown_somehow(
    rows: int, columns: int, pieces: list[bytes | tuple[int, int]]
) -> None:
    screen = Screen(rows, columns)
    for piece in pieces:
        if isinstance(piece, tuple):
            screen.resize(*piece)
        else:
            screen.feed(piece)
        assert len(screen.lines) == screen.rows
        assert 0 <= screen.row < screen.rows and 0 <= screen.column < screen.columns
        assert "\x1b" not in screen.text
