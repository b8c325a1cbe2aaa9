"""Readable texts for starts, ends and restarts of containers, processes and test commands."""

from __future__ import annotations

import signal
from collections.abc import Mapping

from branchpoint.decoding import whole

TYPES = ("container.exit", "container.start", "container.restart", "container.oom",
         "container.version", "container.hold", "process.exit", "process.start", "test.start",
         "test.exit")  # fmt: skip
"""Types whose text is made of their fields in words."""


_COMMAND = ("template", "command", "took")


def said(type: str, fields: Mapping[str, str]) -> str:
    """The text of such an event: "exited with 1, on its own"; for other events, their fields."""
    if type in ("container.exit", "process.exit") and "code" in fields:
        return _exit(fields)
    if type in ("test.start", "test.exit") and {"template", "command"} <= set(fields):
        rest = {name: value for name, value in fields.items() if name not in _COMMAND}
        how = _exit(rest) if "code" in rest else said("process.start", rest)
        return f"{fields['template']}/{fields['command']}: {how}"
    if type in ("container.start", "process.start") and set(fields) - {"id"} == {"pid"}:
        return f"pid {fields['pid']}"
    if type == "container.restart" and set(fields) == {"attempt"}:
        return f"attempt {fields['attempt']}"
    if type == "container.version" and set(fields) == {"version"}:
        return f"becomes {fields['version']}"
    if type == "container.oom" and set(fields) == {"killed"}:
        number = fields["killed"]
        return f"out of memory: the kernel killed {number} process{'' if number == '1' else 'es'}"
    if type == "container.hold" and set(fields) == {"for"}:
        return f"asks for {(whole(fields['for']) or 0) / 1e9:g} s without faults"
    return " ".join(f"{name}={value}" for name, value in fields.items())


def _exit(fields: Mapping[str, str]) -> str:
    how = f"exited with {fields['code']}"
    if fields.get("signal", "0") != "0":
        how = f"killed by {_signal(fields['signal'])}"
    known = {"code", "signal", "oom", "asked", "id"}
    others = [f"{name}={value}" for name, value in fields.items() if name not in known]
    why = {"0": "on its own", "1": "as asked"}.get(fields.get("asked", ""), "")
    if fields.get("oom") == "1":
        why = "out of memory"
    return ", ".join(filter(None, [how, why, *others]))


def _signal(number: str) -> str:
    try:
        return signal.Signals(whole(number) or 0).name
    except ValueError:
        return f"signal {number}"
