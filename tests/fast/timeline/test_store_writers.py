"""Writers of a recording that are killed or run out of space: what they had written is there."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from recordings import ORIGIN, SECOND, checkpoint, event, head, make, state

import branchpoint as bp
from branchpoint.errors import RecordingError
from branchpoint.timeline.directory import Future, RecordingFiles

WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from branchpoint.timeline.directory import RecordingFiles, Future
from recordings import ORIGIN, SECOND, checkpoint, event, head
files = RecordingFiles.create(Path(sys.argv[1]), head())
parent, second = None, 0
while True:
    at = ORIGIN + second * SECOND
    files.add_checkpoint(*checkpoint(at, parent, second))
    parent = at
    files.events.add(event(second + n / 100, f"line {second}.{n}") for n in range(100))
    files.save(head(end=at))
    files.add_future(Future(id=f"b{second}", parent=None, at=at))
    print(second, flush=True)
    second += 1
"""


def check_after_crash(path: Path, seconds: int) -> None:
    """Everything that the writer reported as written is there, and the recording can continue."""
    with RecordingFiles.open(path, write=True) as files:
        assert files.manifest.end >= ORIGIN + (seconds - 1) * SECOND
        log, gaps = files.load_events()
        assert gaps == []
        assert len(log) >= 100 * seconds
        assert files.warnings == []
        for second in range(seconds):
            assert f"b{second}" in files.futures
            at = ORIGIN + second * SECOND
            assert files.nearest(at) == at
        if seconds:
            state(files, ORIGIN + (seconds - 1) * SECOND)
        files.add_checkpoint(*checkpoint(ORIGIN + 1000 * SECOND, None, 1))
        files.add_future(Future(id="after", parent=None, at=0))
    with RecordingFiles.open(path) as files:
        assert files.nearest(ORIGIN + 1000 * SECOND) == ORIGIN + 1000 * SECOND
        assert "after" in files.futures


def test_killed_at_any_instant(tmp_path: Path) -> None:
    rng = random.Random(5)
    for trial in range(int(os.environ.get("BRANCHPOINT_TEST_KILLS", "6"))):
        path = tmp_path / f"{trial}.branchpoint"
        command = [sys.executable, "-c", WRITER, str(path), str(Path(__file__).parents[1])]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"0\n"
            time.sleep(rng.random() * 0.3)
            writer.send_signal(signal.SIGKILL)
            seconds = 1 + len(writer.stdout.read().splitlines())
        check_after_crash(path, seconds)
        shutil.rmtree(path)


def test_killed_between_events_and_end(tmp_path: Path) -> None:
    """What was written before it was said to be part of the recording is not part of it."""
    path = make(tmp_path / "a.branchpoint", 3)
    with RecordingFiles.open(path, write=True) as files:
        files.events.add([event(3.5, "after the end")])
        files.events.flush()
    with bp.open(path) as run:
        assert len(run.events) == 300
        assert run.events.last is not None and run.at(run.events.last).vtime <= run.end.vtime
        assert run.warnings == []


def fill_until_full(path: Path) -> tuple[int, str]:
    """How many seconds fit, and the error message; runs in its own process."""
    done = subprocess.run(
        [sys.executable, "-c", WRITER, str(path), str(Path(__file__).parents[1])],
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000)),
    )
    return len(done.stdout.splitlines()), done.stderr


def test_a_file_that_may_not_grow(tmp_path: Path) -> None:
    seconds, error = fill_until_full(tmp_path / "a.branchpoint")
    assert seconds > 1
    assert "RecordingError" in error
    assert "pages/000001.pack cannot be written: File too large" in error
    assert "what was recorded before is intact" in error
    check_after_crash(tmp_path / "a.branchpoint", seconds)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small file system")
@pytest.mark.parametrize("size", [150_000, 600_000, 900_000, 1_000_000, 1_100_000])
def test_a_full_disk(tmp_path: Path, size: int) -> None:
    small = tmp_path / "small"
    small.mkdir()
    options = f"size={size // 4096 * 4096}"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(small)])
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        path = small / "a.branchpoint"
        files = RecordingFiles.create(path, head())
        with pytest.raises(RecordingError, match="No space left on device") as full:
            for second in range(1000):
                at = ORIGIN + second * SECOND
                files.events.add([event(second, "x" * 2000)] * 3)
                files.add_checkpoint(*checkpoint(at, None, second))
                files.save(head(end=at))
        assert "free some space" in full.value.hint
        seconds = second
        grown = Path(shutil.copytree(path, tmp_path / "a.branchpoint"))
        for opened in (path, grown):
            with RecordingFiles.open(opened) as reader:
                assert reader.nearest(ORIGIN + (seconds - 1) * SECOND) is not None or not seconds
                log, gaps = reader.load_events()
                assert gaps == []
                assert len(log) >= 3 * seconds
                assert reader.warnings == []
        subprocess.run(["mount", "-o", "remount,size=8m", str(small)], check=True)
        at = ORIGIN + seconds * SECOND
        files.add_checkpoint(*checkpoint(at, None, seconds))
        files.save(head(end=at))
        files.close()
        with RecordingFiles.open(path) as reader:
            assert reader.nearest(at) == at
            assert len(reader.load_events()[0]) == 3 * (seconds + 1)
    finally:
        subprocess.run(["umount", str(small)], check=True)
