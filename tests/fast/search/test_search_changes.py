"""What has changed between two explorations, and how sure that is."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec
import pytest
from explorations import FAILURE, add, begun
from recordings import SECOND

import branchpoint as bp
from branchpoint.search.changes import Changed, changes
from branchpoint.search.exploration import Exploration
from branchpoint.search.findability import LEVEL, findability


def explored(path: Path, stretches: int, found: dict[str, int], title: str = "shop") -> Exploration:
    """So many stretches of a second, in some of which these failed."""
    made = begun(path, title=title)
    kinds = [kind for kind, times in found.items() for _ in range(times)]
    for number in range(stretches):
        add(made, length=SECOND, failed=kinds[number] if number < len(kinds) else "")
    return made


def test_new_ongoing_rare_and_resolved(tmp_path: Path) -> None:
    earlier = explored(tmp_path / "a.bpx", 100, {"often": 20, "once": 1, "still": 3})
    with earlier, explored(tmp_path / "b.bpx", 100, {"still": 2, "fresh": 1}) as found:
        told = changes(found, earlier)
    assert told[:2] == [
        Changed("new", FAILURE, "fresh", 0, 1),
        Changed("ongoing", FAILURE, "still", 3, 2),
    ]
    rare, resolved = told[2:]
    assert (rare.change, rare.kind, rare.missed) == ("rare", "once", pytest.approx(0.95))
    assert (resolved.change, resolved.kind, resolved.before) == ("resolved", "often", 20)
    assert resolved.missed is not None and resolved.missed < 1e-5


def test_a_shorter_exploration_is_less_sure(tmp_path: Path) -> None:
    earlier = explored(tmp_path / "a.bpx", 100, {"often": 20})
    with earlier, explored(tmp_path / "b.bpx", 10, {}) as short:
        (told,) = changes(short, earlier)
    assert told.change == "rare" and told.missed == pytest.approx(0.265, abs=0.001)


def test_another_failure_of_the_same_name_is_not_the_one_that_was_found(tmp_path: Path) -> None:
    """Not finding it says nothing about what was looked for before."""
    earlier = explored(tmp_path / "a.bpx", 100, {"often": 20})
    with earlier, explored(tmp_path / "b.bpx", 100, {}) as found:
        assert [each.change for each in changes(found, earlier)] == ["resolved"]
        found.head = msgspec.structs.replace(found.head, failures=[(FAILURE, "ef")])
        (told,) = changes(found, earlier)
    assert (told.change, told.missed) == ("rare", 1)


def test_only_explorations_of_one_system_are_compared(tmp_path: Path) -> None:
    other = explored(tmp_path / "a.bpx", 1, {}, title="other")
    with other, explored(tmp_path / "b.bpx", 0, {}) as found:
        with pytest.raises(bp.BranchpointError, match=r"explores other, .* shop"):
            changes(found, other)
        with pytest.raises(bp.BranchpointError, match="has no stretches"):
            changes(found, found)


def test_how_many_clean_runs_make_sure() -> None:
    assert [findability(times).clean for times in (1, 2, 3, 5, 20)] == [59, 9, 4, 2, 1]
    assert findability(1).missed == pytest.approx(0.368, abs=0.001)
    assert findability(1).missed_at_most == pytest.approx(LEVEL)


@pytest.mark.parametrize("rate", [0.5, 1, 3, 8])
def test_the_limit_of_what_is_missed_holds(rate: float) -> None:
    """Among explorations that found it, the limit is wrong in at most one of twenty."""
    chance, wrong, count = random.Random(1), 0, 20_000
    missed = 2.718281828459045**-rate
    for _ in range(count):
        times, waited = 0, chance.expovariate(rate)
        while waited < 1:
            times, waited = times + 1, waited + chance.expovariate(rate)
        wrong += times > 0 and findability(times).missed_at_most < missed
    assert wrong / count <= 1 - LEVEL + 0.005
