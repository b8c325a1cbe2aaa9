"""``branchpoint export``: a recording in formats that other programs read."""

from __future__ import annotations

import importlib.util
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from branchpoint.errors import BranchpointError, RecordingError, SetupError
from branchpoint.sharing.files import replacing
from branchpoint.sharing.report.trace import trace
from branchpoint.timeline.capture.packets import Packets
from branchpoint.timeline.recording import Recording
from branchpoint.timeline.schedule import Schedule

if TYPE_CHECKING:
    import pandas as pd


FORMATS = (".html", ".json", ".csv", ".parquet")


def format_of(path: Path, *, packets: bool, schedule: bool) -> str:
    """The format that a path names, one of :data:`FORMATS`, if it can have what it is to have.

    Raises what :func:`export` raises, before anything is done that takes long.
    """
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise BranchpointError(
            f"{path}: unknown format {path.suffix!r}", f"use {', '.join(FORMATS)}"
        )
    if packets and suffix != ".html":
        raise BranchpointError("only a report has packets", "save them: packets.save('x.pcap')")
    if schedule and suffix != ".json":
        raise BranchpointError("only a trace has a schedule", "schedule.frame() is a table of it")
    if path.is_dir():
        raise RecordingError(f"{path} is a folder", "name a file")
    return suffix


def export(
    run: Recording,
    path: Path | str,
    *,
    packets: Mapping[str, Packets] | None = None,
    schedule: Schedule | None = None,
) -> Path:
    """Write a recording to ``path`` in the format that its suffix names; the path is returned.

    ``.html`` is a report: one page without script, with the timeline, stored curves, the log
    around the failure, faults and exits, and ``packets`` (captures by name). ``.json`` is a trace
    for Perfetto and chrome://tracing, with the threads of ``schedule`` (:meth:`run.schedule
    <branchpoint.Recording.schedule>`) if there is one. ``.csv`` and ``.parquet`` are the table of
    ``run.events.frame()``, with the fields of events as JSON. Equal recordings give equal files;
    one that exists is replaced.

    :raises BranchpointError: for other suffixes, for ``packets`` without ``.html``, and for a
        ``schedule`` without ``.json``.
    :raises RecordingError: when ``path`` is a folder, or cannot be written.
    :raises SetupError: for ``.parquet``, when pyarrow is not installed.
    """
    path = Path(path)
    writers: dict[str, Callable[[Recording], bytes]] = {
        ".html": lambda run: _html(run, packets),
        ".json": lambda run: msgspec.json.encode(trace(run, schedule)) + b"\n",
        ".csv": _csv,
        ".parquet": _parquet,
    }
    data = writers[format_of(path, packets=bool(packets), schedule=schedule is not None)](run)
    with replacing(path) as file:
        file.write(data)
    return path


def _html(run: Recording, packets: Mapping[str, Packets] | None) -> bytes:
    from branchpoint.sharing.report.page import report  # imports matplotlib, which is slow

    return report(run, packets).encode("utf-8", "replace")


def _csv(run: Recording) -> bytes:
    text: str = _frame(run).to_csv(index=False, lineterminator="\n")
    return text.encode("utf-8", "backslashreplace")


def _parquet(run: Recording) -> bytes:
    if importlib.util.find_spec("pyarrow") is None:
        raise SetupError(
            "pyarrow, which writes Parquet files, is not installed",
            "pip install 'branchpoint[export]', or export to .csv",
        )
    buffer = io.BytesIO()
    _frame(run).to_parquet(buffer, engine="pyarrow", index=False)
    return buffer.getvalue()


def _frame(run: Recording) -> pd.DataFrame:
    frame = run.events.frame()
    frame["fields"] = [json.dumps(fields, sort_keys=True) for fields in frame["fields"]]
    return frame
