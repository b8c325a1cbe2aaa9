"""A system that cannot be set up: it is told soon and fully, and is not in the next one's way."""

from __future__ import annotations

from pathlib import Path

import pytest

import branchpoint as bp
from branchpoint.guest import image
from branchpoint.system.bundle import runtime_files

pytestmark = pytest.mark.long

SYSTEM = """
name: vain
x-branchpoint-debian:
  packages: [busybox-static]
services:
  api:
    command: [busybox, sh, -c, "echo cannot open /etc/api.conf >&2; exit 2"]
    restart: always
    healthcheck: {test: [CMD, busybox, "true"], interval: 1s}
  db:
    command: [busybox, sleep, infinity]
"""
MENDED = """
services:
  api:
    command: [busybox, sleep, infinity]
"""


def test_one_container_that_fails_again_and_again(tmp_path: Path) -> None:
    compose, mended = tmp_path / "compose.yaml", tmp_path / "mended.yaml"
    compose.write_text(SYSTEM)
    mended.write_text(MENDED)
    path = tmp_path / "vain.branchpoint"
    with pytest.raises(bp.RecordingError, match=r"api\.1: it ended 12 times in a row") as told:
        bp.record(compose, path, duration=1)
    assert told.value.message.splitlines()[1:] == ["  cannot open /etc/api.conf"]
    assert f"branchpoint.open('{path}.failed')" in told.value.hint
    with bp.open(f"{path}.failed") as run:
        assert len(run.events.where(type="container.exit", container="api.1")) == 12
    with bp.record([compose, mended], path, duration=1) as run:
        assert run.duration == 1
    with pytest.raises(bp.RecordingError, match="12 times"):
        bp.record(compose, path, duration=1, force=True)
    with bp.open(path) as run:
        assert run.duration == 1, "the good one is still there"
        assert bp.bash("echo fine").run(run.end.branch(), "api.1").output == "fine\n"
    with bp.record([compose, mended], path, duration=2, force=True) as run:
        assert run.duration == 2
    assert sorted(each.name for each in tmp_path.glob("*vain*")) == [
        path.name,
        f"{path.name}.failed",
    ]


def test_a_machine_of_another_version_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was chosen for new recordings, and does not know all that today's system says."""
    (tmp_path / "compose.yaml").write_text(SYSTEM.replace("vain", "novel"))
    said = runtime_files.configuration
    monkeypatch.setattr(runtime_files, "configuration", lambda *given: said(*given) + "novelty 1\n")
    monkeypatch.setattr(image, "chosen", image.built)
    with pytest.raises(bp.RecordingError, match=r"another version.*understood \(novelty") as told:
        bp.record(tmp_path, tmp_path / "novel.branchpoint", duration=1)
    assert "branchpoint machine build" in told.value.hint
