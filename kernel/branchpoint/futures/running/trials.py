"""Futures that are identified by their inputs, and run once each."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Self
from weakref import WeakKeyDictionary

import msgspec
from blake3 import blake3

from branchpoint import progress
from branchpoint.futures.draws import Question
from branchpoint.futures.partial import AGAIN
from branchpoint.futures.running.cluster import Cluster, open_pool
from branchpoint.futures.running.future import FutureSpec, Outcome
from branchpoint.futures.running.workers import Pool
from branchpoint.timeline.failures import Failure
from branchpoint.timeline.openings import Shared
from branchpoint.timeline.recording import Recording

_known: WeakKeyDictionary[Shared, dict[bytes, Outcome]] = WeakKeyDictionary()


class Interrupted(KeyboardInterrupt):
    """Futures were interrupted; those that had ended are known."""

    def __init__(self, stop: KeyboardInterrupt, found: list[Outcome | None]) -> None:
        super().__init__(*stop.args)
        self.found = found
        """What became of each; None: it is not known."""
        known = sum(outcome is not None for outcome in found)
        self.add_note(f"stopped with {known} of {len(found)} futures known; {AGAIN}")

    @property
    def first(self) -> list[Outcome]:
        """Those before the first that is not known. Later ones would be biased, because short
        futures, which are the failing ones, end first.
        """
        end = self.found.index(None) if None in self.found else len(self.found)
        return [outcome for outcome in self.found[:end] if outcome is not None]


class Trials:
    """Runs futures of a recording for one question, and remembers those that it has run.

    What is known stays while the recording is open, so an interrupted investigation goes on where
    it was. Workers are started when something has to be run, and end with the ``with`` block.
    """

    def __init__(
        self,
        run: Recording,
        failure: Failure,
        question: Question,
        workers: int | str | None,
        title: str,
    ) -> None:
        """``workers`` is as for :func:`open_pool`, ``title`` what is shown meanwhile."""
        self._run, self._failure, self._question = run, failure, question
        self._workers = workers
        self._title = title
        self._outcomes = _known.setdefault(run.shared, {})
        self._pool: Pool | Cluster | None = None
        self._task: progress.Task | None = None

    def run(self, jobs: Sequence[FutureSpec], note: str | None = None) -> list[Outcome]:
        """What becomes of these futures, in their order. Jobs need no numbers.

        ``note`` is shown meanwhile.

        :raises Interrupted: when interrupted; it has the outcomes that are known.
        """
        keys = [self._key(job) for job in jobs]
        missing = {
            key: job for key, job in zip(keys, jobs, strict=True) if key not in self._outcomes
        }
        if missing:
            names = list(missing)
            numbered = [
                msgspec.structs.replace(job, number=number)
                for number, job in enumerate(missing.values())
            ]
            try:
                pool, task = self._start()
                task.total = task.done + len(missing)
                for outcome in pool.outcomes(numbered):
                    self._outcomes[names[outcome.number]] = outcome
                    task.update(task.done + 1, note)
            except KeyboardInterrupt as stop:
                found = [self._outcomes.get(key) for key in keys]
                raise Interrupted(stop, found) from stop
        return [self._outcomes[key] for key in keys]

    @property
    def count(self) -> int:
        """How many futures run at a time."""
        return self._start()[0].count

    def _start(self) -> tuple[Pool | Cluster, progress.Task]:
        if self._pool is None or self._task is None:
            question = self._question
            self._pool = open_pool(
                self._run,
                self._failure,
                question.horizon,
                relative=question.relative,
                noise=question.noise,
                workers=self._workers,
            )
            self._ending.callback(self._pool.close)
            self._task = self._ending.enter_context(progress.task(self._title, unit="futures"))
        return self._pool, self._task

    def _key(self, job: FutureSpec) -> bytes:
        parts = self._question.key, msgspec.structs.replace(job, number=0)
        return blake3(msgspec.msgpack.encode(parts)).digest()

    def __enter__(self) -> Self:
        self._ending = contextlib.ExitStack()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.close()
        self._pool = self._task = None
