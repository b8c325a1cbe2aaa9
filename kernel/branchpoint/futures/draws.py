"""Outcomes of futures: the draws behind a curve, as they are kept with the recording.

``curves/<key>.json``    the question: which failure, until when, with which noise
``curves/<key>.jsonl``   its draws, one per line

A draw belongs to a question and is good for every curve that asks it, whatever its points and
precision. As everything in a recording, what is read here may have been written by a stranger.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from typing import Annotated, Literal

import msgspec
from blake3 import blake3
from msgspec import Meta, Struct

from branchpoint.decoding import Malformed, from_json
from branchpoint.errors import RecordingError
from branchpoint.store import disk
from branchpoint.store.ledger import Ledger
from branchpoint.store.manifest import Ns
from branchpoint.timeline.directory import RecordingFiles

FOLDER = "curves"
MOST_CAUSES = 256  # of one draw
LONGEST_CAUSE = 200  # characters
MOST_DRAWS = 1_000_000  # of one question
MOST_POINTS = 2000  # of one question: time and memory to find its steps grow with the square of it
_HEAD_LIMIT = 1 << 16  # bytes
_NAME = re.compile(r"[0-9a-f]{24}\.jsonl?")

Verdict = Literal["failed", "passed", "censored"]
Seed = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Cause = Annotated[str, Meta(min_length=1, max_length=LONGEST_CAUSE)]
Text = Annotated[str, Meta(max_length=4000)]
Key = Annotated[str, Meta(pattern=r"^[0-9a-f]{1,128}\Z")]


class Draw(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One future: where it began, with which seed, and what became of it."""

    at: Ns
    """The instant of the fork."""
    seed: Seed
    verdict: Verdict
    """"censored": it ended before the horizon without the failure, so the verdict is not known."""
    failed_at: Ns | None = None
    end: Ns
    """How far it ran."""
    course: Annotated[str, Meta(pattern=r"^[0-9a-f]{0,64}\Z")] = ""
    """Digest of what happened after the fork, without instants; equal ones took the same course."""
    causes: Annotated[list[Cause], Meta(max_length=MOST_CAUSES)] = []
    """What happened after the fork and before the failure: "fault kill db.1", "exit web.1 1"."""
    instants: Annotated[list[Ns], Meta(max_length=MOST_CAUSES)] = []
    """When each of the causes happened first, absolute ns. Draws of earlier versions have none."""

    def __post_init__(self) -> None:
        if (self.failed_at is not None) != (self.verdict == "failed"):
            raise ValueError("a draw has an instant of failure if it failed, and only then")
        if self.end < self.at or not self.at <= (self.failed_at or self.at) <= self.end:
            raise ValueError("a draw ends before it begins, or fails outside its time")
        if len(self.instants) not in (0, len(self.causes)):
            raise ValueError("a draw has an instant for each cause, or none at all")
        if any(not self.at <= instant <= self.end for instant in self.instants):
            raise ValueError("a cause lies outside the time of its draw")


class Question(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the draws of one ledger share: all that decides a verdict except fork and seed."""

    failure: Text
    """The failure's name, for people."""
    failure_key: Key
    horizon: Ns
    """ns: see ``relative``."""
    relative: bool = False
    """Whether the horizon counts from the fork. Else it is an absolute instant for all futures."""
    noise: tuple[Ns, Ns] | None = None
    """Scheduling noise: mean pause and longest burst, ns; None: off."""

    @property
    def key(self) -> str:
        """Name of its files: a digest of what decides verdicts, so without the failure's name."""
        parts = (self.failure_key, self.horizon, self.relative, self.noise)
        return blake3(msgspec.json.encode(parts)).hexdigest(12)

    def horizon_of(self, fork: int) -> int:
        """Absolute ns until which a future that begins at ``fork`` has to run."""
        return fork + self.horizon if self.relative else self.horizon


class Draws:
    """The draws of one question: those stored with the recording, and those added since.

    The same future drawn twice counts once. If the recording is not writable, the draws are kept in
    memory only. Damaged lines of their file are left out, and noted with the recording.
    """

    def __init__(self, files: RecordingFiles, question: Question) -> None:
        self.question = question
        self.damage: list[str] = []
        """What is damaged in their file, in words."""
        self._known: dict[tuple[int, int], Draw] = {}
        self._asked: dict[tuple[int, int], Draw] = {}
        self._files = files
        self._instants: set[int] = set()
        self._ledger: Ledger[Draw] | None = None
        self._headed = False  # whether the question is sure to be on disk
        folder = files.folder(FOLDER)
        if folder is not None:
            self._ledger = ledger_of(files, folder, question.key)
            self._learn(self._ledger.read())

    def refresh(self) -> None:
        """Learn what other processes have drawn since."""
        if self._ledger is not None:
            self._learn(self._ledger.more())

    def _learn(self, draws: list[Draw]) -> None:
        assert self._ledger is not None
        found = [*self._take(draws, self._files), *self._ledger.damage]
        self.damage += [problem for problem in found if problem not in self.damage]
        for problem in found:
            self._files.harm(problem)

    def _write_head(self) -> None:
        """Write the question, before its first draw. Another process may have done so."""
        folder = self._files.folder(FOLDER)
        if self._headed or folder is None:
            return
        name = f"{self.question.key}.json"
        try:
            _question(self._files, folder, name)
        except (RecordingError, Malformed):
            data = msgspec.json.encode(self.question) + b"\n"
            disk.write_file(folder, name, data, _shown(self._files, name), sync=True)
        self._headed = True

    def _take(self, draws: list[Draw], files: RecordingFiles) -> Iterator[str]:
        """Take these draws; yields what is wrong with those that are left out, in words."""
        shown = _shown(files, f"{self.question.key}.jsonl")
        head = files.manifest
        first = head.inputs[0].at if head.inputs else 0
        outside, instants = 0, self._instants
        for draw in draws:
            if not first <= draw.at <= head.end:
                outside += 1
                continue
            instants.add(draw.at)
            if len(self._known) >= MOST_DRAWS or len(instants) > MOST_POINTS:
                most = f"{MOST_DRAWS} futures, or from more than {MOST_POINTS} instants"
                yield f"{shown}: more than {most}; the rest is left out"
                break
            if self._is_news(draw):
                self._known[draw.at, draw.seed] = draw
        if outside:
            start = f"{outside} future{'s' if outside > 1 else ''} that would begin"
            yield f"{shown}: {start} outside the recording: left out"

    def add(self, draw: Draw) -> None:
        """Keep one more draw, on disk before anything else is done with it."""
        if not self._is_news(draw):
            return
        if self._ledger is not None and self._files.keeps:
            self._write_head()
            self._ledger.append(draw)
        self._known[draw.at, draw.seed] = draw

    def _is_news(self, draw: Draw) -> bool:
        """Whether the future is new, or known only from an earlier version, without instants."""
        known = self._known.get((draw.at, draw.seed))
        return known is None or (bool(draw.instants) and not known.instants)

    def get(self, at: int, seed: int) -> Draw | None:
        """The draw of one future, when it is known."""
        return self._known.get((at, seed))

    def ask(self, draws: Iterable[Draw]) -> None:
        """Note that these, which are known, were asked for."""
        for draw in draws:
            self._asked[draw.at, draw.seed] = self._known[draw.at, draw.seed]

    @property
    def asked(self) -> list[Draw]:
        """Those that were asked for since the recording was opened, drawn then or before."""
        return list(self._asked.values())

    def __len__(self) -> int:
        return len(self._known)

    def __iter__(self) -> Iterator[Draw]:
        return iter(self._known.values())


def questions(files: RecordingFiles) -> list[Question]:
    """All questions that this recording has draws for.

    Damaged ones are left out, and noted with the recording; the others are still found.
    """
    folder = files.folder(FOLDER, make=False)
    if folder is None:
        return []
    found = []
    names = sorted(filter(_NAME.fullmatch, os.listdir(folder)))  # noqa: PTH208 - by descriptor
    for name in names:
        try:
            if name.endswith("l"):
                if name[:-1] not in names:
                    raise Malformed("what these futures were drawn for is lost")
            else:
                found.append(_question(files, folder, name))
        except RecordingError as problem:
            files.harm(problem.message)
        except Malformed as problem:
            files.harm(f"{_shown(files, name)} is left out: {problem}")
    return found


def _question(files: RecordingFiles, folder: int, name: str) -> Question:
    data = disk.read_file(folder, name, _shown(files, name), _HEAD_LIMIT)
    question: Question = from_json(data, Question)
    if name != f"{question.key}.json":
        raise Malformed("its name is that of another question")
    return question


def ledger_of(files: RecordingFiles, folder: int, key: str) -> Ledger[Draw]:
    """The file of the draws of one question in the ``folder`` of all."""
    name = f"{key}.jsonl"
    return Ledger(folder, name, Draw, _shown(files, name))


def _shown(files: RecordingFiles, name: str) -> str:
    return f"{files.path}/{FOLDER}/{name}"
