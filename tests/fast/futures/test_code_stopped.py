"""Futures whose code was being told when it was interrupted."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from branchpoint.futures.culprits import sampling
from branchpoint.futures.culprits.compared import Future
from branchpoint.futures.draws import Draw
from branchpoint.futures.running.future import CodeRan, Outcome
from branchpoint.futures.running.trials import Interrupted

FAILED = 0, 1, 3, 6
LOST = 1
"""Of this one the machine stops when it is run once more, so that there is no code."""


class Futures:
    """Eight futures; an interrupt comes when the code of the last one is being told."""

    moment = SimpleNamespace(at=0)

    def verdicts(self, numbers: Sequence[int], note: str) -> list[Outcome]:
        return [Outcome(self._draw(number)) for number in numbers]

    def code(self, parts: dict[int, list[int]]) -> list[Outcome]:
        told = [
            Outcome(self._draw(i), code=[] if i == LOST else [CodeRan(bytes([i]) * 8, [], False)])
            for i in parts
        ]
        raise Interrupted(KeyboardInterrupt(), [*told[:-1], None])

    def _draw(self, number: int) -> Draw:
        failed = number in FAILED
        verdict: Any = "failed" if failed else "passed"
        return Draw(at=0, seed=number, verdict=verdict, failed_at=5 if failed else None, end=9)


def test_code_stays_with_its_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[Future] = []

    def compare(told: list[Future], *_: object) -> SimpleNamespace:
        compared.extend(told)
        return SimpleNamespace()

    monkeypatch.setattr(sampling, "culprits", compare)
    monkeypatch.setattr(sampling, "Source", lambda module: None)
    spec = SimpleNamespace(modules=["module"])
    run: Any = SimpleNamespace(replayer=SimpleNamespace(snapshot=SimpleNamespace(spec=spec)))
    failure: Any = SimpleNamespace(name="it")
    found = sampling._compared(Futures(), run, failure, 8, "*", 6)  # type: ignore[arg-type]
    assert found.stopped
    of = {future.ran[-1].places[0]: future.failed for future in compared}
    assert of == {number: number in FAILED for number in range(7) if number != LOST}
