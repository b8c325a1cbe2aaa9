"""Why a recording failed, in words: a paragraph to read first, and what it rests on.

All of it is computed from the recording and its futures; where nothing is known, it says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from itertools import groupby

from branchpoint.clock import SECOND
from branchpoint.errors import BranchpointError
from branchpoint.events import tables
from branchpoint.events.event import LOG, Event
from branchpoint.events.listing import inert
from branchpoint.futures.attribution import Attribution, attribute
from branchpoint.futures.culprits.culprits import Culprit, Culprits
from branchpoint.futures.culprits.decisions import Decisions
from branchpoint.futures.curve import Curve
from branchpoint.futures.likelihood import likelihood, question_of
from branchpoint.timeline.failures import Failure
from branchpoint.timeline.failures import failure as failure_of
from branchpoint.timeline.recording import Recording

_LINE = 120  # characters of a line of a log that are quoted
_CODE = 60  # ... of source
_EVENTS = 2  # that are named
_GROUPS = 2  # of code that are named


@dataclass(frozen=True)
class Explanation:
    """Why it failed. Made by ``run.explain(failure)``; ``print`` it, or let a cell show it."""

    words: str
    """The paragraph."""
    curve: Curve
    """Since when it was likely."""
    attribution: Attribution | None
    """Which faults decided; None when there were none before the failure."""
    culprits: Culprits | None
    """Which code runs in futures that fail only; None when at no point some failed and some
    passed."""
    decisions: Decisions | None = None
    """Which conditions of programs decide; None when that was not asked for."""

    def __repr__(self) -> str:
        evidence = (self.curve, self.attribution, self.culprits, self.decisions)
        return "\n\n".join([self.words, *(repr(each) for each in evidence if each is not None)])

    def _repr_html_(self) -> str:
        """The words; the evidence folded below them."""
        from branchpoint.futures import plot

        picture, size = plot.png(self.curve)
        shown = {
            "since when it was likely": tables.image(picture, plot.words(self.curve), size["width"])
        }
        if self.attribution is not None:
            shown["which faults decided"] = self.attribution._repr_html_()
        if self.culprits is not None:
            shown["which code runs where it fails"] = self.culprits._repr_html_()
        if self.decisions is not None:
            shown["which conditions decide"] = self.decisions._repr_html_()
        pages = (
            f"<details><summary>{title}</summary>{page}</details>" for title, page in shown.items()
        )
        return f"<p>{escape(self.words)}</p>{''.join(pages)}"


def explain(
    run: Recording,
    failure: Failure,
    *,
    curve: Curve | None = None,
    decisions: bool = False,
    workers: int | str | None = None,
) -> Explanation:
    """See ``Recording.explain``. What an interrupt leaves is kept, but nothing is said of it."""
    question, at = question_of(run.end, failure, run.start.at, None, noise=True)
    if at is None:
        raise BranchpointError(
            f"{question.failure} does not happen in {run.path.name}",
            "give the failure that it has, or run.likelihood(...) for one that it has not",
        )
    curve = curve or likelihood(run, failure, workers=workers)
    if curve.stopped:
        raise KeyboardInterrupt
    attribution = None
    if any(fault.at < at for fault in run.events.where(type="fault.start")):
        attribution = attribute(
            run, failure, of=None, seeds=0, horizon=None, workers=workers, noise=True
        )
        if attribution.unknown:
            raise KeyboardInterrupt
    mixed = any(0 < point.failed < point.trials for point in curve.points)
    culprits = curve.culprits(workers=workers) if mixed else None
    decided = curve.decisions(workers=workers) if decisions else None
    named = decided or (culprits.decisions if culprits is not None else None)
    parts = [
        _what(run, at),
        _since(curve),
        _faults(attribution),
        _code(culprits),
        _decisions(named),
        _rests_on(curve, culprits),
    ]
    return Explanation(" ".join(filter(None, parts)), curve, attribution, culprits, decided)


def recorded(run: Recording) -> str:
    """The failure that ended a recording, as :func:`branchpoint.failure` takes it.

    :raises BranchpointError: when nothing did, or it is not told: one that a script made with
        :func:`branchpoint.failure` is kept by its name only.
    """
    at = run.failure
    exit_ = run.events.where(type="container.exit", start=at, end=at).last
    if exit_ is not None:
        return f"exit:{exit_.container}"
    failure_of(run.manifest.ended)
    return run.manifest.ended


def _what(run: Recording, at: int) -> str:
    """What failed, and the last that the container had said."""
    moment = run.at_ns(at)
    event = run.events.where(start=moment, end=moment).last
    when = f"At {(at - run.origin) / SECOND:.3f} s"
    if event is None:
        return f"{when} it failed."
    words = f"{when}: {_named(event)}."
    if event.type != LOG and event.container:
        said = run.events.where(type=LOG, container=event.container, end=moment).last
        words += "" if said is None else f" The last that it had said: “{inert(said.text, _LINE)}”."
    return words


def _named(event: Event) -> str:
    if event.type == "fault.start":
        fields = event.fields
        return inert(f"{fields.get('type', 'a fault')} of {fields.get('target', '?')}", _LINE)
    return inert(f"{event.container} {event.text}".strip(), _LINE)


def _since(curve: Curve) -> str:
    """Since when the failure was likely, and what happened then; a fall is never meant."""
    rises = [step for step in curve.steps if step.after > step.before]
    sudden = [step for step in rises if not step.gradual]
    rise = max(sudden or rises, key=lambda step: step.after - step.before, default=None)
    if rise is None:
        falls = " is not known, only when it became less likely" if curve.steps else ""
        return f"When it became likely{falls}: {curve.turning_point}."
    if rise.gradual:
        return f"When it became likely: {rise}."
    events = [event for event in rise.events if event.type != LOG]
    faults = [event for event in events if event.type == "fault.start"]
    named = "; ".join(map(_named, (faults or events)[:_EVENTS]))
    then = f" What happened then: {named}." if named else ""
    return f"When it became likely: {rise}.{then}"


def _faults(attribution: Attribution | None) -> str:
    if attribution is None:
        return "There was no fault before it."
    return f"{_sentence('; '.join(attribution.conclusion))}."


def _code(culprits: Culprits | None) -> str:
    if culprits is None:
        return (
            "At no point did some futures fail and others pass, so their code cannot be compared."
        )
    own = [row for row in culprits.decisive if not row.library and row.effect > 0]
    if not own:
        return f"Which code decides is not known: {culprits.conclusion[0]}."
    groups = [list(rows) for _, rows in groupby(own, lambda row: row.group)]
    return " ".join(_ran(rows[0]) for rows in groups[:_GROUPS])


def _ran(row: Culprit) -> str:
    text = f" (“{inert(row.text, _CODE)}”)" if row.text else ""
    passing = f"{row.passing} of {row.passed}" if row.passing else f"none of {row.passed}"
    return (
        f"{row.short}{text} runs in {row.failing} of {row.failed} failing futures and in {passing} "
        "that pass."
    )


def _decisions(decisions: Decisions | None) -> str:
    if decisions is None:
        return ""
    if not decisions.decisive:
        return f"{_sentence(decisions.conclusion)}."
    first = decisions.decisive[0]
    text = f" (“{inert(first.text, _CODE)}”)" if first.text else ""
    return (
        f"With the condition in {first.where}{text} turned, it fails in {first.after.failed} of "
        f"{first.after.trials} futures instead of {first.before.failed} of {first.before.trials}."
    )


def _rests_on(curve: Curve, culprits: Culprits | None) -> str:
    code = "" if culprits is None else f", the code of {culprits.futures} compared"
    return f"This rests on {len(curve.draws)} futures{code}."


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:]
