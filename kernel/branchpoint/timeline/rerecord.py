"""A recording made again, with something more reaching the machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from branchpoint.timeline.failures import Failure
from branchpoint.timeline.manifest import Input
from branchpoint.timeline.recording import Recording
from branchpoint.timeline.store import RecordingFiles
from branchpoint.timeline.writing import R, Writer


def rerecord(
    run: Recording,
    path: Path | str,
    added: Sequence[Input],
    until: Failure,
    *,
    horizon: int,
    after: int,
    kind: type[R],
) -> R:
    """Make a new recording of the same system, from power-on, with the inputs ``added``.

    It ends ``after`` (ns) the failure, or at ``horizon`` (absolute ns). Up to the first added
    input it is the old one.
    """
    old = run.manifest
    inputs = sorted([*old.inputs, *added], key=lambda i: i.at)
    begin = old.inputs[0].at if old.inputs else 0
    head = old.with_(inputs=inputs, end=begin, ended="interrupted", failure=None, event_blocks=0)
    files = RecordingFiles.create(path, head)
    writer = Writer(kind(files, lambda: run.replayer.snapshot), until)
    try:
        writer.play(old.origin, None)
        writer.run(horizon - old.origin, after)
    finally:
        writer.keep()
    return writer.recording
