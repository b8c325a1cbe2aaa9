"""What failing futures run that passing ones do not run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from html import escape
from itertools import groupby
from math import ceil
from typing import TYPE_CHECKING

from branchpoint.errors import BranchpointError
from branchpoint.events import tables
from branchpoint.events.listing import inert
from branchpoint.futures.contrast import Contrast, Counts
from branchpoint.futures.culprits.decisions import Decided, Decisions, table_of
from branchpoint.futures.culprits.listing import Listing, Ran
from branchpoint.futures.culprits.source import Spot
from branchpoint.futures.statistics.exact import percent

if TYPE_CHECKING:
    import pandas as pd

_ROWS = 12  # that are shown
_TOGETHER = 3  # of each group
_NEAREST = 3  # that are shown where none is found
_DECIDED = 3  # conditions that are shown
_TEXT = 60  # characters of a line that are shown
_NAME = 90  # of where it is
_PLACES = 4  # places or stretches of lines that are named


@dataclass(frozen=True)
class Culprit(Counts):
    """Lines of one function that ran in the same futures, and in which: in passing futures it is
    looked for in equal times as in failing ones before their failure.
    """

    spots: tuple[Spot, ...]
    """Its lines, ascending, or places where no lines are known; the first one stands for it."""
    late: bool
    """Whether what counts is that it ran in the last second that is looked at; else, that it ran
    at all."""
    text: str
    """Of the first line, if its source is in an image."""
    prior: float
    """The share of all futures that fail, those whose code was not told included."""

    @property
    def failure_if_run(self) -> float:
        """P(failure | it runs), as estimated (by Bayes' rule from the shares in which it ran)."""
        fails = self.prior * self.failing / max(self.failed, 1)
        passes = (1 - self.prior) * self.passing / max(self.passed, 1)
        return fails / (fails + passes) if fails else 0.0

    @property
    def library(self) -> bool:
        """Whether it belongs to a library, from a package or of the language."""
        return self.spots[0].library

    @property
    def where(self) -> str:
        """``ring.py:41-44 RingBuffer.read``; where no lines are known, ``addReply of redis-server
        (+0x0, +0x23)``.
        """
        return self._named(offsets=True)

    @property
    def short(self) -> str:
        """The same without offsets, if the function is known."""
        return self._named(offsets=not self.spots[0].function)

    def _named(self, *, offsets: bool) -> str:
        name, function = self.spots[0].file.rpartition("/")[2], self.spots[0].function
        lines = _ranges([spot.line for spot in self.spots if spot.line is not None])
        found = [f"+{spot.offset:#x}" for spot in self.spots if spot.line is None]
        places = ", ".join(found[:_PLACES]) + (", …" if len(found) > _PLACES else "")
        if lines:
            words = [f"{name}:{lines}", function]
        else:
            words = [f"{function} of {name}" if function else name, f"({places})" * offsets]
        words.append("in the last second" * self.late)
        return inert(" ".join(filter(None, words)), _NAME)

    def __str__(self) -> str:
        return self.along(0)

    def along(self, others: int) -> str:
        """In words, with so many ``others`` of its group that are not shown."""
        text = f"  {inert(self.text, _TEXT)}" if self.text else ""
        return f"{self.where}{_more(others)}: {self.words}{text}"


def _more(others: int) -> str:
    return f" (and {others} more functions in the same futures)" if others else ""


def _ranges(lines: Sequence[int]) -> str:
    """``41-44, 47``, of ascending numbers."""
    runs: list[list[int]] = []
    for line in lines:
        if runs and line == runs[-1][-1] + 1:
            runs[-1].append(line)
        else:
            runs.append([line])
    told = [f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs]
    return ", ".join(told[:_PLACES]) + (", …" if len(told) > _PLACES else "")


class Culprits:
    """Code that runs in failing futures and not in passing ones, or the other way round.

    All futures leave one moment and are looked at for equal times, up to the failure
    (:mod:`~branchpoint.futures.stretches`). Code that ran in the same futures is compared as one.
    ``chance`` of it says how often chance alone makes any of it look as extreme; what is below 5 %
    is ``decisive``. Code that is found need not be at fault: it may only come together with it.

    The system's own code comes before that of libraries, then the code least probable by chance
    comes first. But what ran only in the last second comes after earlier code, if these futures
    cannot tell which of them says better what fails: what follows from a cause always goes with the
    failure. Among equals that comes first which runs where it fails, then whole lines before the
    way that a condition in a line took, then what ran first.

    A curve's culprits also have ``decided``, where a program that starts goes with the failure:
    conditions that prevent it when they are turned.
    """

    def __init__(
        self,
        rows: Sequence[Culprit],
        contrast: Contrast,
        drawn: tuple[int, int],
        left_out: int,
        text_of: Callable[[str], Sequence[str]],
    ) -> None:
        self.rows = list(rows)
        """All that was compared."""
        self.contrast = contrast
        """The comparison behind it; a cause is all code that ran in the same futures."""
        self.drawn = drawn
        """How many futures failed and how many passed. Of many, only of some is code compared."""
        self.left_out = left_out
        """In how many futures some code could not be told, because there was too much."""
        self._text_of = text_of
        self.stopped = False
        """Whether it was interrupted, and fewer futures are compared than would have been."""
        self.unknown: list[str] = []
        """Languages of programs that ran and whose lines cannot be told, with their containers."""
        self.decisions: Decisions | None = None
        """Which conditions decide shortly before the failure; None when that was not tried. It is
        where code :attr:`starts`: this tells which programs are started, not what is wrong."""

    @property
    def starts(self) -> bool:
        """Whether the code that goes with the failure best is that of a Python program that starts,
        for example after a fault: of all that it runs, nothing can be told apart.
        """
        own = [row for row in self.decisive if not row.library and row.effect > 0]
        return any(row.spots[0].body for row in own if row.group == own[0].group)

    @property
    def decided(self) -> list[Decided]:
        """Conditions that prevent the failure when they are turned, if that was tried; best first.
        They come before all code that only goes with it.
        """
        return self.decisions.decisive if self.decisions is not None else []

    @property
    def about(self) -> str:
        """What was compared."""
        of = "" if self.futures == sum(self.drawn) else f", of {sum(self.drawn)} that were drawn"
        return f"{self.contrast.about}{of}"

    @property
    def futures(self) -> int:
        """In how many futures code was compared."""
        return self.contrast.failed + self.contrast.passed

    @property
    def decisive(self) -> list[Culprit]:
        """The code that is found: whose ``chance`` is below 5 %."""
        return [row for row in self.rows if row.found]

    def source(self, file: str = "*") -> Listing:
        """A source file, with how often each line ran where it fails and where it passes.

        ``file`` is a pattern for its path in the container: ``"*/ring.py"``. Of several that fit,
        it is the one whose code comes first here.

        :raises BranchpointError: when no code that was compared is in such a file, or no image has
            the file.
        """
        paths = list(dict.fromkeys(row.spots[0].file for row in self.rows))
        fitting = [path for path in paths if fnmatchcase(path, file)]
        if not fitting:
            raise BranchpointError(
                f"no code that was compared is in {file!r}", f"files are {', '.join(paths[:5])}"
            )
        found = next((path for path in fitting if self._text_of(path)), None)
        if found is None:
            raise BranchpointError(
                f"no image has the source {fitting[0]}",
                "put it into an image, at this path, to see it here",
            )
        ran = {
            spot.line: Ran(row.failing, row.failed, row.passing, row.passed)
            for row in reversed(self.rows)  # of several parts of a line, the most extreme counts
            for spot in row.spots
            if spot.file == found and spot.line is not None and not row.late
        }
        return Listing(found, self._text_of(found), ran)

    @property
    def conclusion(self) -> list[str]:
        """What it shows, in a few lines."""
        if self.contrast.too_few:
            return self._too_few()
        if not self.rows:
            return ["all of these futures ran the same code up to there"]
        found = len(self.decisive)
        pieces = "1 piece" if len(self.rows) == 1 else f"{len(self.rows)} pieces"
        of = f"{pieces} of code that ran in some of these futures only"
        if not found:
            return [f"none of {of} differs by more than chance; the nearest:"]
        verb = "differs" if found == 1 else "differ"
        words = [f"{found} of {of} {verb} by more than chance does in 5 of 100 contrasts"]
        if self.decisions is not None:
            words += [
                "where it fails, a program starts, so that all its code looks guilty; conditions "
                "that run shortly before the failure were turned instead",
                f"{self.decisions.about}: {self.decisions.conclusion}",
            ]
        return words

    def _too_few(self) -> list[str]:
        failed, passed = self.drawn
        fewest, total = min(self.drawn), sum(self.drawn)
        kind, verb = ("failures", "failed") if failed <= passed else ("passing futures", "passed")
        words = f"too few {kind} to tell: {fewest or 'none'} of {total} futures {verb}"
        if self.contrast.enough is None:
            return [words, "take a moment from which about as many fail as pass: run.likelihood"]
        enough = ceil(self.contrast.enough * total / self.futures)
        return [words, f'run.contrast(..., by="code", futures={enough}) would do']

    @property
    def frame(self) -> pd.DataFrame:
        """One row per piece of code: file, function, line (its first), last (its last line), late,
        containers, text, failing, failed, passing, passed, effect, low, high, failure_if_run,
        chance, group.
        """
        import pandas as pd

        counted = [
            "text", "failing", "failed", "passing", "passed", "effect", "low", "high",
            "failure_if_run", "chance", "group",
        ]  # fmt: skip
        rows = []
        for row in self.rows:
            first, last = row.spots[0], row.spots[-1]
            containers = ", ".join(first.containers)
            where = [first.file, first.function, first.line, last.line, row.late, containers]
            rows.append([*where, *(getattr(row, name) for name in counted)])
        titles = ["file", "function", "line", "last", "late", "containers", *counted]
        frame = pd.DataFrame(rows, columns=titles)
        return frame.astype({"line": "Int64", "last": "Int64"})

    def _shown(self) -> tuple[list[tuple[Culprit, int]], str]:
        """What is shown, and after how many others of its group that are not; and a note."""
        if self.contrast.too_few:
            return [], ""
        found = self.decisive or self.rows
        own = [row for row in found if not row.library] or found
        shown: list[tuple[Culprit, int]] = []
        for _, rows in groupby(own, lambda row: row.group):
            first, rest = (mine := list(rows))[:_TOGETHER], mine[_TOGETHER:]
            shown += [(row, 0) for row in first[:-1]] + [(first[-1], len(rest))]
        shown = shown[: _ROWS if self.decisive else _NEAREST]
        notes = []
        if self.decisive and (more := len(found) - sum(1 + others for _, others in shown)):
            libraries = sum(row.library for row in found) if own is not found else 0
            of = f", {libraries} of them of libraries" if libraries else ""
            notes.append(f"{more} more{of}: .frame has all")
        if self.left_out:
            notes.append(f"in {self.left_out} futures there was more code than can be told apart")
        if self.unknown:
            notes.append(f"lines of programs in {', '.join(self.unknown)} are not known")
        return shown, "; ".join(notes)

    def __repr__(self) -> str:
        shown, more = self._shown()
        decided = map(str, self.decided[:_DECIDED])
        rows = [row.along(others) for row, others in shown]
        lines = [self.about, *self.conclusion, *decided, *rows, more]
        return "\n".join(filter(None, lines))

    def _repr_html_(self) -> str:
        shown, more = self._shown()
        rows = [
            (row.where + _more(others), inert(row.text, _TEXT), f"{row.failing} of {row.failed}",
             f"{row.passing} of {row.passed}", percent(row.chance))
            for row, others in shown
        ]  # fmt: skip
        titles = ("where", "code", "in failing futures", "in passing ones", "by chance")
        lines = "".join(f"<p>{escape(line)}</p>" for line in (self.about, *self.conclusion))
        table = tables.html(titles, rows, verbatim="code") if rows else ""
        decided = table_of(self.decided[:_DECIDED])
        return lines + decided + table + (tables.note(more) if more else "")
