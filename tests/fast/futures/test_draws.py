"""Draws as they are stored with the recording."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from recordings import ORIGIN, SECOND, head

from branchpoint.futures.draws import Draw, Draws, Question, questions
from branchpoint.timeline.directory import RecordingFiles

QUESTION = Question(failure="an exit of db.1", failure_key="ab12", horizon=ORIGIN + 12 * SECOND)


def draw(second: float = 1, seed: int = 0, **changes: object) -> Draw:
    at = ORIGIN + round(second * SECOND)
    return Draw(**({"at": at, "seed": seed, "verdict": "passed", "end": at + SECOND} | changes))  # type: ignore[arg-type]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A recording that ended at vtime 10."""
    RecordingFiles.create(tmp_path / "run.branchpoint", head()).close()
    return tmp_path / "run.branchpoint"


def test_what_was_drawn_is_there_again(path: Path) -> None:
    failed = draw(2, 5, verdict="failed", failed_at=ORIGIN + 2 * SECOND, causes=["exit db.1 1"])
    failed = msgspec.structs.replace(failed, instants=[failed.at])
    with RecordingFiles.open(path, write=True) as files:
        draws = Draws(files, QUESTION)
        draws.add(draw())
        draws.add(failed)
        draws.add(failed)
        assert len(draws) == 2
    with RecordingFiles.open(path) as files:
        draws = Draws(files, QUESTION)
        assert list(draws) == [draw(), failed]
        assert draws.get(failed.at, 5) == failed
        assert draws.get(failed.at, 6) is None
        assert questions(files) == [QUESTION]
        assert draws.damage == files.warnings == []


def test_draws_of_earlier_versions_are_read(path: Path) -> None:
    """These draws have no instants of causes."""
    old = msgspec.to_builtins(draw(3, causes=["exit db.1 1"]))
    del old["instants"]
    with RecordingFiles.open(path, write=True) as files:
        draws = Draws(files, QUESTION)
        draws.add(draw())
        assert draws._ledger is not None
        earlier = msgspec.defstruct("Earlier", [(key, object) for key in old])
        draws._ledger.append(earlier(**old))
        again = Draws(files, QUESTION)
        assert [one.causes for one in again] == [[], ["exit db.1 1"]]
        assert [one.instants for one in again] == [[], []]
        assert again.damage == []
        now = msgspec.structs.replace(draw(3), causes=["exit db.1 1"], instants=[draw(3).end])
        for _ in range(2):  # drawn again, it replaces the old draw
            again.add(now)
            again.add(msgspec.structs.replace(now, instants=[]))
        assert list(again) == list(Draws(files, QUESTION)) == [draw(), now]
        assert len((path / "curves" / f"{QUESTION.key}.jsonl").read_text().splitlines()) == 3


def test_each_question_has_its_own_draws(path: Path) -> None:
    other = msgspec.structs.replace(QUESTION, horizon=QUESTION.horizon + 1)
    renamed = msgspec.structs.replace(QUESTION, failure="db.1 ends")
    with RecordingFiles.open(path, write=True) as files:
        Draws(files, QUESTION).add(draw())
        assert len(Draws(files, other)) == 0
        assert len(Draws(files, renamed)) == 1
        assert questions(files) == [QUESTION], "one without an answer is not kept"
        Draws(files, other).add(draw())
        assert len(questions(files)) == 2


def test_a_horizon_is_an_instant_or_counts_from_the_fork() -> None:
    assert QUESTION.horizon_of(7) == ORIGIN + 12 * SECOND
    assert msgspec.structs.replace(QUESTION, horizon=5, relative=True).horizon_of(7) == 12


def test_a_recording_that_is_only_read_keeps_no_draws(path: Path) -> None:
    before = sorted(path.rglob("*"))
    with RecordingFiles.open(path) as files:
        draws = Draws(files, QUESTION)
        draws.add(draw())
        assert len(draws) == 1
        assert questions(files) == []
    assert sorted(path.rglob("*")) == before


def test_a_draw_cut_off_by_a_crash_costs_only_itself(path: Path) -> None:
    with RecordingFiles.open(path, write=True) as files:
        draws = Draws(files, QUESTION)
        for seed in range(3):
            draws.add(draw(seed=seed))
    ledger = path / "curves" / f"{QUESTION.key}.jsonl"
    ledger.write_bytes(ledger.read_bytes()[:-9])
    with RecordingFiles.open(path, write=True) as files:
        draws = Draws(files, QUESTION)
        assert [one.seed for one in draws] == [0, 1]
        assert "line 3 is left out" in draws.damage[0]
        draws.add(draw(seed=2))
        assert [one.seed for one in Draws(files, QUESTION)] == [0, 1, 2]


@pytest.mark.parametrize(
    "wrong",
    [
        {"seed": -1},
        {"verdict": "maybe"},
        {"verdict": "failed"},
        {"failed_at": ORIGIN + SECOND},
        {"verdict": "failed", "failed_at": ORIGIN},
        {"verdict": "failed", "failed_at": ORIGIN + 5 * SECOND},
        {"end": ORIGIN},
        {"course": "zz"},
        {"causes": ["x" * 201]},
        {"causes": ["x"] * 257},
        {"causes": ["x"], "instants": [ORIGIN + SECOND] * 2},
        {"causes": ["x", "y"], "instants": [ORIGIN + SECOND]},
        {"causes": ["x"], "instants": [ORIGIN + SECOND - 1]},
        {"causes": ["x"], "instants": [ORIGIN + 2 * SECOND + 1]},
        {"causes": ["x"], "instants": [-1]},
        {"causes": ["x"], "instants": [2**63]},
        {"instants": [ORIGIN + SECOND]},
        {"instants": [ORIGIN + SECOND] * 257},
        {"more": 1},
    ],
)
def test_absurd_draws_are_left_out(path: Path, wrong: dict[str, object]) -> None:
    """A file from a stranger, with correct digests."""
    good = msgspec.to_builtins(draw())

    class Anything(msgspec.Struct):
        pass

    with RecordingFiles.open(path, write=True) as files:
        draws = Draws(files, QUESTION)
        draws.add(draw(seed=9))
        assert draws._ledger is not None
        forged = msgspec.defstruct("Forged", [(key, object) for key in good | wrong])
        draws._ledger.append(forged(**(good | wrong)))
        again = Draws(files, QUESTION)
        assert [one.seed for one in again] == [9]
        assert len(again.damage) == 1


def test_futures_from_outside_the_recording_are_left_out(path: Path) -> None:
    with RecordingFiles.open(path, write=True) as files:
        draws = Draws(files, QUESTION)
        draws.add(draw(11))
        draws.add(draw(-2))
        draws.add(draw(3))
        again = Draws(files, QUESTION)
        assert [one.at for one in again] == [ORIGIN + 3 * SECOND]
        assert any("2 futures that would begin outside" in words for words in again.damage)


def test_a_question_under_a_wrong_name_is_no_question(path: Path) -> None:
    with RecordingFiles.open(path, write=True) as files:
        Draws(files, QUESTION).add(draw())
        folder = path / "curves"
        (folder / "0123.json").write_bytes((folder / f"{QUESTION.key}.json").read_bytes())
        (folder / "4567.json").write_text("[" * 100_000)
        assert questions(files) == [QUESTION]


def test_more_draws_than_are_bearable_are_left_out(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RecordingFiles.open(path, write=True) as files:
        draws = Draws(files, QUESTION)
        for seed in range(12):
            draws.add(draw(seed=seed))
    monkeypatch.setattr("branchpoint.futures.draws.MOST_DRAWS", 5)
    with RecordingFiles.open(path) as files:
        draws = Draws(files, QUESTION)
        assert [one.seed for one in draws] == [0, 1, 2, 3, 4]
        assert "more than 5 futures" in draws.damage[0]
