"""The curves of a recording: those asked for since it was opened, and those kept with it."""

from __future__ import annotations

from collections.abc import Iterable
from weakref import WeakKeyDictionary

from branchpoint.futures.allocation import SEEDS
from branchpoint.futures.curve import Curve
from branchpoint.futures.draws import Draw, Draws, Question, questions
from branchpoint.timeline.openings import Shared
from branchpoint.timeline.recording import Recording

_open: WeakKeyDictionary[Shared, dict[str, Draws]] = WeakKeyDictionary()


def draws_of(run: Recording, question: Question) -> Draws:
    """The draws of a question so far, also when the recording is not writable."""
    known = _open.setdefault(run.shared, {})
    if question.key not in known:
        known[question.key] = Draws(run.files, question)
    known[question.key].refresh()
    return known[question.key]


def asked(run: Recording) -> list[Curve]:
    """All futures that were asked for since the recording was opened, a curve for each question.

    It makes no difference whether they were drawn for that or earlier. So cells that ask in the
    same order get the same curves, however much is kept with the recording.
    """
    found = [
        _curve(run, draws.question, draws.asked) for draws in _open.get(run.shared, {}).values()
    ]
    return [curve for curve in found if curve is not None]


def kept(run: Recording) -> list[Curve]:
    """The curves whose futures are kept with a recording."""
    found = [_curve(run, each, Draws(run.files, each)) for each in questions(run.files)]
    return [curve for curve in found if curve is not None]


def known(run: Recording) -> list[Curve]:
    """The curves kept with a recording, and those of this process if it is not writable."""
    found = {curve.question.key: curve for curve in [*asked(run), *kept(run)]}
    return list(found.values())


def whole(draws: Iterable[Draw]) -> list[Draw]:
    """Those whose row, of one point and one number of :data:`SEEDS`, has no gap before them.

    Later ones would be biased, because short futures, which are the failing ones, end first.
    """
    found: list[Draw] = []
    wanted: dict[tuple[int, int], int] = {}
    for draw in sorted(draws, key=lambda draw: (draw.at, draw.seed)):
        row = draw.at, draw.seed // SEEDS
        if draw.seed == wanted.get(row, row[1] * SEEDS):
            wanted[row] = draw.seed + 1
            found.append(draw)
    return found


def _curve(run: Recording, question: Question, known: Iterable[Draw]) -> Curve | None:
    draws = whole(known)
    if not draws:
        return None
    span = min(draw.at for draw in draws), max(draw.at for draw in draws)
    return Curve(run, question, span, draws)
