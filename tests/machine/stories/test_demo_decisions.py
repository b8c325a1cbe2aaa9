"""The decision at fault in the demo runs in all futures; turning it tells that it decides."""

from __future__ import annotations

from pathlib import Path

import pytest

import branchpoint as bp

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(3600)]


def test_the_ring_check_comes_first(failing_aria: Path) -> None:
    """A retransmitter that was started again answers with what it never had."""
    with bp.open(failing_aria) as run:
        crash = run.at_ns(run.failure.at)
        (exit_,) = run.events.where(type="container.exit", start=crash, end=crash)
        curve = run.likelihood(f"exit:{exit_.container}", precision=0.2)
        found = curve.decisions()
        first = found.decisive[0]
        assert first.spot.file.endswith("/aria/retransmitter.py"), found
        assert first.text == "if not self._ring.has(request.offset):", found
        assert not first.instead and first.after.failed == 0
        culprits = curve.culprits()
        assert culprits.starts  # the retransmitter, and all that it runs goes with the failure
        named = culprits.decided[0]
        assert (named.spot, named.after.failed) == (first.spot, 0), culprits
        explained = run.explain(curve.failure, curve=curve, decisions=True)
    assert explained.decisions is not None
    assert explained.decisions.rows[0] == first
    assert f"With the condition in {first.where}" in explained.words
    assert len(explained.words.split()) < 150
