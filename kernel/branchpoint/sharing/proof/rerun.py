"""``branchpoint verify --notebook``: a notebook run again, and its outputs compared byte by byte.

The copy that runs lies in a temporary folder, but the kernel works in the notebook's own folder,
so that it finds the same recordings. It is always this Branchpoint's kernel, whichever is
installed.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import metadata
from itertools import zip_longest
from pathlib import Path
from typing import Any

from branchpoint import progress
from branchpoint.errors import RecordingError, SetupError
from branchpoint.guest import machines
from branchpoint.sharing.proof import hygiene
from branchpoint.sharing.proof.hygiene import Notebook
from branchpoint.timeline.directory import RecordingFiles

_DRAWING = ("ipykernel", "matplotlib", "pandas")
_AROUND = 60  # characters shown around a difference
_PACKAGE = Path(__file__).parents[2]


@dataclass(frozen=True)
class Rerun:
    """The result of running a notebook again. True when no output differs."""

    name: str
    """Of the notebook."""
    cells: int
    """Code cells that were run."""
    differences: list[str] = field(default_factory=list)
    """Which output of which cell differs, and how."""
    notes: list[str] = field(default_factory=list)
    """What in the notebook looks as if it did not belong there."""

    def __bool__(self) -> bool:
        return not self.differences

    def __str__(self) -> str:
        count = len(self.differences)
        lines = [
            f"{self.name}: {self.cells} cells run again, "
            + (f"{count} differ" if count else "every output the same, byte for byte"),
            *(f"  {difference}" for difference in self.differences),
            *(f"  note: {note}" for note in self.notes),
        ]
        return "\n".join(lines)


def verify_notebook(path: Path | str, recording: Path | str | None = None) -> Rerun:
    """Run a notebook again with this kernel and compare its outputs with the saved ones.

    The notebook itself is not changed. ``recording`` is what ``prepare_multiverse_debugging()``
    opens in it; the default is what it finds by itself. Execution counts are not compared.

    :raises SetupError: when the packages that run notebooks are not installed.
    :raises RecordingError: when it is not a notebook, or has never been run.
    """
    path = Path(path)
    saved = hygiene.read(path)
    if not any(_outputs(cell) for cell in saved["cells"]):
        raise RecordingError(f"{path} has no outputs to compare", "run it and save it first")
    again = _run(path, saved, recording)
    return Rerun(
        name=path.name,
        cells=sum(cell.get("cell_type") == "code" for cell in saved["cells"]),
        differences=list(compare(saved, again)),
        notes=hygiene.suspects(saved),
    )


def circumstances(recording: Path | str) -> dict[str, str]:
    """What decides the outputs of a notebook on a recording, beside the notebook itself.

    The names of the machine and of the system's image, and versions of the libraries that draw.
    Shipped notebooks say in their metadata with which their outputs were made.

    :raises RecordingError: when the recording cannot be read.
    """
    with RecordingFiles.open(Path(recording)) as files:
        machine = files.manifest.machine
    return {
        "machine": machines.name_of(machine.board, machine.firmware, machine.guest_image),
        "system": machine.system_image,
        **{name: metadata.version(name) for name in _DRAWING},
    }


def _run(path: Path, saved: Notebook, recording: Path | str | None) -> Notebook:
    with tempfile.TemporaryDirectory(prefix="branchpoint-") as folder:
        kernel = Path(folder, "kernels", "branchpoint")
        kernel.mkdir(parents=True)
        spec = {
            "argv": [sys.executable, "-m", "branchpoint.notebook", "-f", "{connection_file}"],
            "display_name": "Branchpoint",
            "language": "python",
            "interrupt_mode": "signal",
        }
        (kernel / "kernel.json").write_text(json.dumps(spec))
        copy = Path(folder, "notebook.ipynb")
        copy.write_bytes(hygiene.write(saved))
        environment = {
            **os.environ,
            "JUPYTER_PATH": _joined_paths(folder, os.environ.get("JUPYTER_PATH")),
            "PYTHONPATH": _joined_paths(str(_PACKAGE.parent), os.environ.get("PYTHONPATH")),
            **({"BRANCHPOINT_RECORDING": str(Path(recording).resolve())} if recording else {}),
        }
        command = [
            sys.executable,
            "-m",
            "branchpoint.sharing.proof.execution",
            str(copy),
            str(path.parent),
        ]
        with (
            progress.task(f"running {path.name}", len(saved["cells"]), "cells") as task,
            Path(folder, "said").open("w+") as said,
            subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=said, text=True, env=environment
            ) as running,
        ):
            try:
                assert running.stdout is not None
                for line in running.stdout:
                    task.update(int(line))
            except BaseException:
                running.terminate()  # it ends its kernel
                raise
        if running.returncode:
            words = Path(folder, "said").read_text(errors="replace")
            raise _failed(path, words)
        return hygiene.read(copy)


def _failed(path: Path, words: str) -> SetupError:
    """The error for a notebook that was not run, with what the program that runs it wrote."""
    errors = re.findall(r"^[\w.]*(?:Error|Exception|Interrupt)\b.*", words, re.MULTILINE)
    said = errors[0] if errors else words.strip()[-500:]
    lacking = "ModuleNotFoundError" in said
    return SetupError(
        f"{path} could not be run: {said}",
        "notebooks are run by nbclient: pip install 'branchpoint[notebook]'" if lacking else "",
    )


def _joined_paths(first: str, others: str | None) -> str:
    return f"{first}{os.pathsep}{others}" if others else first


def compare(saved: Notebook, again: Notebook) -> Iterator[str]:
    """Say which outputs of two runs of a notebook differ, in words; cells count from 1."""
    pairs = zip_longest(hygiene.clean(saved)["cells"], hygiene.clean(again)["cells"])
    for number, (old, new) in enumerate(pairs, 1):
        if old is None or new is None:
            yield f"cell {number} is in only one of the two"
            continue
        before, after = _outputs(old), _outputs(new)
        for place, (one, other) in enumerate(zip_longest(before, after), 1):
            if one != other:
                where = f"cell {number}, output {place}"
                if one is None:
                    yield f"{where} is new: {_short(_flat(other))}"
                elif other is None:
                    yield f"{where} did not come again: {_short(_flat(one))}"
                elif one.get("output_type") != other.get("output_type"):
                    yield f"{where}: saved {_short(_flat(one))}, now {_short(_flat(other))}"
                else:
                    yield f"{where}, {_difference(one, other)}"


def _outputs(cell: dict[str, Any]) -> list[dict[str, Any]]:
    """The outputs of a cell in one form, however they were saved; without execution counts."""
    found: list[dict[str, Any]] = []
    for output in cell.get("outputs") or []:
        one = _joined({k: v for k, v in output.items() if k != "execution_count"})
        last = found[-1] if found else {}
        if one.get("output_type") == "stream" and last.get("name") == one.get("name"):
            last["text"] += one["text"]
        else:
            found.append(one)
    return found


def _joined(output: dict[str, Any]) -> dict[str, Any]:
    """The same output with every text in one piece: notebooks have them as lists of lines too."""
    return {key: _text(value) for key, value in output.items()} | (
        {"data": {kind: _text(value) for kind, value in output["data"].items()}}
        if isinstance(output.get("data"), dict)
        else {}
    )


def _text(value: Any) -> Any:
    lines = isinstance(value, list) and all(isinstance(line, str) for line in value)
    return "".join(value) if lines else value


def _difference(one: dict[str, Any], other: dict[str, Any]) -> str:
    """Where two outputs part, at the first place."""
    old, new = dict(_leaves(one)), dict(_leaves(other))
    for name in [*old, *new]:
        if old.get(name) != new.get(name):
            break
    before, after = old.get(name, "nothing"), new.get(name, "nothing")
    at = next((i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b),
              min(len(before), len(after)))  # fmt: skip
    start = max(0, at - _AROUND // 2)
    line = before.count("\n", 0, at) + 1
    return (
        f"{name}, line {line}, character {at}: saved {_short(before[start:])}, "
        f"now {_short(after[start:])}"
    )


def _leaves(output: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in output.items():
        if isinstance(value, dict):
            for inner, content in value.items():
                yield inner if key == "data" else f"{key} {inner}", _flat(content)
        else:
            yield key, _flat(value)


def _flat(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _short(text: str) -> str:
    return repr(text if len(text) <= _AROUND else text[: _AROUND - 1] + "…")
