"""What a terminal shows, from the bytes that programs write to it.

The part of an xterm that shells, editors and monitors need to leave readable text behind: cursor
movement, erasing, scrolling, inserting, the alternate screen. Colours are dropped. Any bytes are
accepted: what is not understood is left out, and memory is bounded by the size of the screen and
:data:`MOST_LINES`.

It is our own because the bytes are a stranger's. pyte 0.8.2, the library for this, raises
ValueError on a number of 5000 digits and TypeError on ``ESC [ > 0 q``, keeps an unfinished title
without bound, and has no alternate screen.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections import deque
from collections.abc import Callable

MOST_LINES = 10_000
"""Lines that are kept after they have left the screen at its top."""
_TAB = 8
_LONGEST = 4096  # characters of an unfinished control sequence
_LARGEST = 9999  # parameter of a control sequence
_SEQUENCE = re.compile(
    r"\x1b\[(?P<mode>[<-?]?)(?P<numbers>[0-9:;]*)(?P<between>[ -/]*)(?P<final>[@-~])"
    r"|\x1b[\]PX^_](?P<text>[^\x07\x1b]*)(?:\x07|\x1b\\)"
    r"|\x1b\((?P<set>.)"
    r"|\x1b[ #%)*+./-](?P<other>.)"
    r"|\x1b(?P<escape>[^\[\]PX^_( #%)*+./-])"
    r"|(?P<control>[\x00-\x1a\x1c-\x1f\x7f])"
    r"|(?P<plain>[^\x00-\x1f\x7f]+)",
    re.DOTALL,
)
_BEGUN = re.compile(
    r"\x1b(?:\[[<-?]?[0-9:;]*[ -/]*|[\]PX^_][^\x07\x1b]*\x1b?|[ #%()*+./-])?", re.DOTALL
)
_DRAWING = str.maketrans("`afgjklmnopqrstuvwxyz{|}~", "◆▒°±┘┐┌└┼⎺⎻─⎼⎽├┤┴┬│≤≥π≠£·")
_ALTERNATE = {"47", "1047", "1049"}

_Row = list[str]


class Screen:
    """A screen of ``rows`` and ``columns``; :meth:`feed` it what was written."""

    def __init__(self, rows: int, columns: int) -> None:
        self.rows = rows
        self.columns = columns
        self.row = 0
        """Where the cursor is, from 0."""
        self.column = 0
        self._above: deque[str] = deque(maxlen=MOST_LINES)
        self._grid = [self._blank() for _ in range(rows)]
        self._main: list[_Row] | None = None  # while the alternate screen is shown
        self._saved = (0, 0)
        self._region = (0, rows)
        self._wrap = False  # the last column was written; the next character begins a new line
        self._drawing = False
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._unfinished = ""

    # -- reading

    @property
    def lines(self) -> list[str]:
        """What is on the screen now, a text for each row, blanks at its end left out."""
        return ["".join(row).rstrip() for row in self._grid]

    @property
    def text(self) -> str:
        """All lines: those that have left the screen, then those on it (not the alternate one)."""
        shown = self._main if self._main is not None else self._grid
        lines = [*self._above, *("".join(row).rstrip() for row in shown)]
        while lines and not lines[-1]:
            lines.pop()
        return "".join(line + "\n" for line in lines)

    # -- writing

    def feed(self, data: bytes) -> None:
        """Show ``data``, which may begin and end anywhere, even inside a character."""
        text = self._unfinished + self._decoder.decode(data)
        at = 0
        while at < len(text):
            match = _SEQUENCE.match(text, at)
            if match is None:
                if len(text) - at < _LONGEST and _BEGUN.fullmatch(text, at):
                    break
                at += 1  # it is none: what follows is shown
                continue
            at = match.end()
            self._handle(match)
        self._unfinished = text[at:]

    def resize(self, rows: int, columns: int) -> None:
        """Another size; lines are cut or filled with blanks, the cursor stays on the screen."""
        surplus = max(0, self.row + 1 - rows)
        if self._main is None:
            self._above.extend("".join(row).rstrip() for row in self._grid[:surplus])
        self._grid = self._sized(self._grid[surplus:], rows, columns)
        if self._main is not None:
            self._main = self._sized(self._main, rows, columns)
        self.rows, self.columns = rows, columns
        self._region = (0, rows)
        self._move(self.row - surplus, self.column)

    def _handle(self, match: re.Match[str]) -> None:
        kind = match.lastgroup
        if kind == "plain":
            self._write(match["plain"])
        elif kind == "control":
            self._control(match["control"])
        elif kind == "final":
            self._sequence(match)
        elif kind == "set":
            self._drawing = match["set"] == "0"
        elif kind == "escape":
            self._escape(match["escape"])

    def _write(self, text: str) -> None:
        if self._drawing:
            text = text.translate(_DRAWING)
        if not text.isascii():
            for character in text:
                self._put(character)
            return
        while text:
            self._wrapped()
            part = text[: self.columns - self.column]
            end = self.column + len(part)
            self._grid[self.row][self.column : end] = part
            self._wrap = end == self.columns
            self.column = min(end, self.columns - 1)
            text = text[len(part) :]

    def _put(self, character: str) -> None:
        """One character, which may take two columns, or none."""
        if unicodedata.category(character) in ("Mn", "Me", "Cf"):
            column = self.column if self._wrap else max(self.column - 1, 0)
            if len(self._grid[self.row][column]) < _TAB:
                self._grid[self.row][column] += character
            return
        wide = unicodedata.east_asian_width(character) in "WF" and self.columns > 1
        if wide and self.column == self.columns - 1:
            self._wrap = True
        self._wrapped()
        self._grid[self.row][self.column] = character
        if wide:
            self._grid[self.row][self.column + 1] = ""
        end = self.column + (2 if wide else 1)
        self._wrap = end == self.columns
        self.column = min(end, self.columns - 1)

    def _wrapped(self) -> None:
        if self._wrap:
            self.column = 0
            self._down()
        self._wrap = False

    def _control(self, character: str) -> None:
        if character in "\n\v\f":
            self._wrap = False
            self._down()
        elif character == "\r":
            self._move(self.row, 0)
        elif character == "\b":
            self._move(self.row, self.column - 1)
        elif character == "\t":
            self._move(self.row, (self.column // _TAB + 1) * _TAB)

    def _escape(self, final: str) -> None:
        if final == "7":
            self._saved = self.row, self.column
        elif final == "8":
            self._move(*self._saved)
        elif final in "DE":
            self._move(self.row, 0 if final == "E" else self.column)
            self._down()
        elif final == "M":
            self._up()
        elif final == "c":
            self._erase(0, self.rows)
            self._region = (0, self.rows)
            self._drawing = False
            self._move(0, 0)

    def _sequence(self, match: re.Match[str]) -> None:
        numbers = match["numbers"].split(";")
        if match["mode"] == "?" and match["final"] in "hl":
            if _ALTERNATE & set(numbers):
                self._alternate(match["final"] == "h")
            return
        action = _ACTIONS.get(match["final"])
        if action is None or match["mode"] or match["between"]:
            return
        values = [min(int(n[:9]), _LARGEST) if n.isdecimal() else 0 for n in numbers]
        action(self, *([*values, 0, 0])[:2])

    # -- moving and changing

    def _blank(self) -> _Row:
        return [" "] * self.columns

    @staticmethod
    def _sized(grid: list[_Row], rows: int, columns: int) -> list[_Row]:
        kept = [(row + [" "] * columns)[:columns] for row in grid[:rows]]
        return kept + [[" "] * columns for _ in range(rows - len(kept))]

    def _move(self, row: int, column: int) -> None:
        self.row = min(max(row, 0), self.rows - 1)
        self.column = min(max(column, 0), self.columns - 1)
        self._wrap = False

    def _down(self) -> None:
        top, bottom = self._region
        if self.row == bottom - 1:
            self._scroll(top, bottom, 1)
        elif self.row < self.rows - 1:
            self.row += 1

    def _up(self) -> None:
        top, bottom = self._region
        if self.row == top:
            self._scroll(top, bottom, -1)
        elif self.row:
            self.row -= 1

    def _scroll(self, top: int, bottom: int, count: int) -> None:
        """Move the rows ``top`` to ``bottom`` - 1 up, or down when ``count`` is negative."""
        count = max(min(count, bottom - top), top - bottom)
        if count > 0:
            if top == 0 and self._main is None:
                self._above.extend("".join(row).rstrip() for row in self._grid[:count])
            del self._grid[top : top + count]
            self._grid[bottom - count : bottom - count] = [self._blank() for _ in range(count)]
        elif count < 0:
            del self._grid[bottom + count : bottom]
            self._grid[top:top] = [self._blank() for _ in range(-count)]

    def _erase(self, top: int, bottom: int) -> None:
        for row in range(max(top, 0), bottom):
            self._grid[row] = self._blank()

    def _alternate(self, shown: bool) -> None:
        if shown and self._main is None:
            self._saved = self.row, self.column
            self._main = self._grid
            self._grid = [self._blank() for _ in range(self.rows)]
        elif not shown and self._main is not None:
            self._grid, self._main = self._main, None
            self._region = (0, self.rows)
            self._move(*self._saved)

    def _erase_display(self, what: int, _: int) -> None:
        if what == 0:
            self._erase_line(0, 0)
            self._erase(self.row + 1, self.rows)
        elif what == 1:
            self._erase(0, self.row)
            self._erase_line(1, 0)
        elif what == 2:
            self._erase(0, self.rows)

    def _erase_line(self, what: int, _: int) -> None:
        start = self.column if what == 0 else 0
        end = self.column + 1 if what == 1 else self.columns
        if what <= 2:
            self._grid[self.row][start:end] = [" "] * (end - start)

    def _change_lines(self, count: int) -> None:
        top, bottom = self._region
        if top <= self.row < bottom:
            self._scroll(self.row, bottom, count)

    def _insert(self, count: int, _: int) -> None:
        row = self._grid[self.row]
        row[self.column : self.column] = [" "] * min(count or 1, self.columns)
        del row[self.columns :]

    def _delete(self, count: int, _: int) -> None:
        row = self._grid[self.row]
        del row[self.column : self.column + (count or 1)]
        row.extend([" "] * (self.columns - len(row)))

    def _blank_out(self, count: int, _: int) -> None:
        end = min(self.column + (count or 1), self.columns)
        self._grid[self.row][self.column : end] = [" "] * (end - self.column)

    def _set_region(self, top: int, bottom: int) -> None:
        start, end = max(top, 1) - 1, min(bottom or self.rows, self.rows)
        if start + 1 < end:
            self._region = (start, end)
            self._move(0, 0)


_ACTIONS: dict[str, Callable[[Screen, int, int], None]] = {
    "A": lambda s, n, _: s._move(s.row - (n or 1), s.column),
    "B": lambda s, n, _: s._move(s.row + (n or 1), s.column),
    "C": lambda s, n, _: s._move(s.row, s.column + (n or 1)),
    "D": lambda s, n, _: s._move(s.row, s.column - (n or 1)),
    "E": lambda s, n, _: s._move(s.row + (n or 1), 0),
    "F": lambda s, n, _: s._move(s.row - (n or 1), 0),
    "G": lambda s, n, _: s._move(s.row, (n or 1) - 1),
    "H": lambda s, n, m: s._move((n or 1) - 1, (m or 1) - 1),
    "J": Screen._erase_display,
    "K": Screen._erase_line,
    "L": lambda s, n, _: s._change_lines(-(n or 1)),
    "M": lambda s, n, _: s._change_lines(n or 1),
    "P": Screen._delete,
    "S": lambda s, n, _: s._scroll(*s._region, n or 1),
    "T": lambda s, n, _: s._scroll(*s._region, -(n or 1)),
    "X": Screen._blank_out,
    "@": Screen._insert,
    "d": lambda s, n, _: s._move((n or 1) - 1, s.column),
    "f": lambda s, n, m: s._move((n or 1) - 1, (m or 1) - 1),
    "r": Screen._set_region,
    "s": lambda s, n, _: setattr(s, "_saved", (s.row, s.column)),
    "u": lambda s, n, _: s._move(*s._saved),
}
