"""The basis of everything: same image, same inputs, same state, bit for bit."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

import pytest
from busy import BUSY
from places import SMALL

import branchpoint as bp
from branchpoint import doctor
from branchpoint.guest.image import ensure_image
from branchpoint.soak import Subject, soak, subject_of

CONTROL_SECONDS = 180  # wall; a control stops at its first divergence, which comes long before


@pytest.fixture(scope="module")
def torture(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    return doctor.torture(ensure_image(), tmp_path_factory.mktemp("torture"))


def test_a_recorded_system_replays_identically_under_disturbance(small: bp.Recording) -> None:
    report = soak(subject_of(small, 4), 24, busy=BUSY)
    assert report.replays == 24
    assert report.divergences == []


@pytest.mark.long
def test_the_torture_guest_replays_identically_under_disturbance(torture: Subject) -> None:
    report = soak(torture, 12, busy=BUSY)
    assert report.replays == 12
    assert report.divergences == []


@pytest.mark.long
def test_a_host_that_cannot_tell_which_pages_changed_is_only_slower(small: bp.Recording) -> None:
    subject = subject_of(small, 2)
    blind = dataclasses.replace(subject, start=functools.partial(subject.start, track=False))
    assert soak(blind, 6, busy=BUSY).divergences == []


@pytest.mark.long
@pytest.mark.parametrize("name", doctor.CONTROLS)
def test_the_soak_notices_that_a_cure_is_missing(name: str, tmp_path: Path) -> None:
    subject = doctor.control(ensure_image(), tmp_path, name)
    report = soak(subject, None, CONTROL_SECONDS, busy=BUSY, until_divergence=True)
    assert report.divergences


def test_two_recordings_with_one_seed_are_equal(small: bp.Recording, tmp_path: Path) -> None:
    with bp.record(SMALL, tmp_path / "again.branchpoint", seed=1, duration=5) as again:
        # The positions of checkpoints depend on the host's speed; the states there do not.
        shared = again.files.digests.keys() & small.files.digests.keys()
        assert small.manifest.end in shared
        assert all(again.files.digests[at] == small.files.digests[at] for at in shared)
        assert again.events.map(str) == small.events.map(str)


def test_another_seed_gives_another_run(small: bp.Recording, tmp_path: Path) -> None:
    with bp.record(SMALL, tmp_path / "other.branchpoint", seed=2, duration=1) as other:
        shared = other.files.digests.keys() & small.files.digests.keys()
        assert any(other.files.digests[at] != small.files.digests[at] for at in shared)


def test_a_replay_in_another_state_is_an_error(small: bp.Recording) -> None:
    at = sorted(small.files.digests)[-1]
    genuine = small.files.digests[at]
    small.replayer.root.states.clear()
    small.files.digests[at] = bytes(32)
    try:
        earlier = small.at_ns(at - 500_000_000)
        with pytest.raises(bp.DivergenceError, match="another state"):
            earlier.branch().wait(1)
    finally:
        small.files.digests[at] = genuine
