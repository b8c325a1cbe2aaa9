"""A system recorded again, with other inputs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

from branchpoint import progress
from branchpoint.clock import format_vtime
from branchpoint.errors import DivergenceError
from branchpoint.store.manifest import Input
from branchpoint.timeline.directory import RecordingFiles
from branchpoint.timeline.failures import Failure
from branchpoint.timeline.recorder.writing import R, Writer
from branchpoint.timeline.recording import Recording


def rerecord(
    run: Recording,
    path: Path | str,
    inputs: Sequence[Input],
    until: Failure,
    *,
    horizon: int,
    after: int,
    kind: type[R],
) -> R:
    """Make a new recording of the same system, from power-on, in which ``inputs`` are all inputs.

    It ends ``after`` (ns) the failure, or at ``horizon`` (absolute ns). Up to the first input that
    differs, it is the same run as the old one.

    :raises DivergenceError: when it is not, at one of the instants at which the old recording's
        state is known; what was recorded so far is kept.
    """
    old = run.manifest
    head = old.with_(
        inputs=list(inputs), end=run.earliest, ended="interrupted", failure=None, event_blocks=0
    )
    files = RecordingFiles.create(path, head)
    recording = kind(files, lambda: run.replayer.snapshot)
    with Writer(recording, until, run.files.digests.keys()) as writer:
        with progress.task(f"setting up {old.title}"):
            writer.play(old.origin, None)
        writer.run(horizon - old.origin, after)
    _compare(run, writer.recording)
    return writer.recording


def _compare(old: Recording, new: Recording) -> None:
    pairs = zip_longest(old.manifest.inputs, new.manifest.inputs)
    parting = next((min(i.at for i in pair if i) for pair in pairs if pair[0] != pair[1]), None)
    for at, digest in new.files.digests.items():
        if (parting is None or at < parting) and old.files.digests.get(at, digest) != digest:
            raise DivergenceError(
                f"{new.path} is at {format_vtime(at - new.origin)} s in another state than "
                f"{old.path} was, although all inputs up to there are the same",
                "run `branchpoint doctor`; if this engine is sound, report this as a bug",
            )
