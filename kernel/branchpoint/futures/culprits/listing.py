"""A source file with how often each line ran in failing and in passing futures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import NamedTuple

from branchpoint.events.listing import inert

_AROUND = 4  # lines that are shown before and after one that differs
_WIDTH = 120  # characters of a line
_MOST = 200  # lines that are shown
_FAINT = 0.12  # the least colour, so that a small difference is seen


class Ran(NamedTuple):
    """In how many futures a line ran."""

    failing: int
    failed: int
    """All failing futures."""
    passing: int
    passed: int
    """All passing futures."""

    @property
    def effect(self) -> float:
        """The share among failing futures minus that among passing ones."""
        return self.failing / max(self.failed, 1) - self.passing / max(self.passed, 1)


class Listing:
    """The lines of a file that ran in some of the futures only, with those around them.

    A line that ran more often in failing futures is red, in passing ones blue, the more the
    further the two are apart. Lines without numbers ran in all futures, or in none.
    """

    def __init__(self, file: str, lines: Sequence[str], ran: Mapping[int, Ran]) -> None:
        """``ran`` is given by the numbers of lines, from 1 on."""
        self.file = file
        """Path in the container."""
        self.ran = dict(ran)
        """The lines that differ, by number."""
        self._lines = lines

    def _shown(self) -> Iterator[int | None]:
        """The numbers of the lines that are shown; None: some are left out."""
        near = {
            number
            for line in self.ran
            for number in range(line - _AROUND, line + _AROUND + 1)
            if 0 < number <= len(self._lines)
        }
        before = 0
        for number in sorted(near)[:_MOST]:
            if number != before + 1:
                yield None
            yield number
            before = number
        if before < len(self._lines):
            yield None

    def _text(self, number: int) -> str:
        return inert(self._lines[number - 1].expandtabs(4), _WIDTH)

    def __repr__(self) -> str:
        rows = [f"{self.file}: in how many failing and passing futures a line ran"]
        for number in self._shown():
            if number is None:
                rows.append("     …")
                continue
            ran = self.ran.get(number)
            counts = f"{ran.failing}/{ran.failed} {ran.passing}/{ran.passed}" if ran else ""
            rows.append(f"{number:6} {counts:>15}  {self._text(number)}".rstrip())
        return "\n".join(rows)

    def _repr_html_(self) -> str:
        rows = []
        for number in self._shown():
            if number is None:
                rows.append("<tr><td colspan='4' style='text-align:left'>…</td></tr>")
                continue
            ran = self.ran.get(number)
            cells = (
                [f"{ran.failing}/{ran.failed}", f"{ran.passing}/{ran.passed}"] if ran else ["", ""]
            )
            code = (
                "<code style='white-space:pre;background:none;padding:0'>"
                f"{escape(self._text(number))}</code>"
            )
            numbers = "".join(f"<td>{cell}</td>" for cell in [str(number), *cells])
            rows.append(
                f"<tr style='background:{_colour(ran)}'>{numbers}"
                f"<td style='text-align:left'>{code}</td></tr>"
            )
        titles = "".join(f"<th>{title}</th>" for title in ("line", "failing", "passing"))
        head = (
            f"<tr>{titles}<th style='text-align:left'>{escape(inert(self.file, _WIDTH))}</th></tr>"
        )
        return f"<table><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>"


def _colour(ran: Ran | None) -> str:
    if ran is None or not ran.effect:
        return "none"
    alpha = max(_FAINT, min(abs(ran.effect), 1) / 2)
    return f"rgba({'220,50,47' if ran.effect > 0 else '38,139,210'},{alpha:.2f})"
