"""The share of branches that are run twice can be set; the branches are drawn by a seed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import branchpoint as bp
from branchpoint.timeline.replaying import checking


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(checking.SETTING, "0")
    yield
    bp.self_check(0)


def drawn(count: int) -> list[bool]:
    return [checking.due() for _ in range(count)]


def test_usually_none_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not any(drawn(1000))
    monkeypatch.delenv(checking.SETTING)
    assert not any(drawn(1000))


def test_equal_seeds_choose_equal_branches() -> None:
    bp.self_check("1/20", seed=3)
    first = drawn(1000)
    assert 20 < sum(first) < 100
    bp.self_check(1 / 20, seed=3)
    assert drawn(1000) == first
    bp.self_check(0.05, seed=4)
    assert drawn(1000) != first


def test_every_one_can_be() -> None:
    bp.self_check(1)
    assert all(drawn(100))


def test_the_environment_says_so_for_a_whole_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(checking.SETTING, "1")
    assert checking.due()
    monkeypatch.setenv(checking.SETTING, "often")
    with pytest.raises(bp.BranchpointError, match=f"(?s)'often' is not.*{checking.SETTING}"):
        checking.due()


@pytest.mark.parametrize("share", [-0.1, 1.5, "2/1", "1/0", "", "nan", "inf", "half"])
def test_a_share_is_from_none_to_all(share: float | str) -> None:
    with pytest.raises(bp.BranchpointError, match="is not a share of branches to check"):
        bp.self_check(share)
    assert not checking.due()
