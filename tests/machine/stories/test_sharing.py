"""A recording moves to another folder, another home, and a computer without its images.

The other computer is a process with an empty home and an empty cache.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3
from equipping import equip

import branchpoint as bp
from branchpoint.timeline.directory import RecordingFiles

PACKAGE = Path(bp.__file__).parents[1]
PATIENCE = 1200  # wall seconds for one command, on a busy computer

CELLS = [
    "[environment, moment] = prepare_multiverse_debugging()\nmoment",
    "environment.run.events.where(container='server.1').tail(5)",
    "branch = moment.rewind(1).branch()\n"
    "print(bash`cat /srv/greeting; ip -br addr; date`.run({branch, 'server.1'}))",
    "branch.wait(0.5)\nbranch.containers()",
    "branch.end",
]


def elsewhere(
    home: Path, *words: object, inside: Sequence[str] = (), **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command of ours as if on another computer; ``inside`` is a command that runs it."""
    home.mkdir(exist_ok=True)
    equip(home / ".cache" / "branchpoint")
    kept = {k: v for k, v in os.environ.items() if k in ("PATH", "LANG")}
    return subprocess.run(
        [*inside, sys.executable, "-m", "branchpoint.cli", *map(str, words)],
        env={**kept, "HOME": str(home), "PYTHONPATH": str(PACKAGE), **environment},
        cwd=home,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


@pytest.fixture(scope="module")
def no_network() -> list[str]:
    """The prefix that runs a command without any network, even without loopback."""
    for rights in ([], ["--user", "--map-current-user"]):
        command = ["unshare", "--net", *rights]
        if subprocess.run([*command, "true"], capture_output=True).returncode == 0:
            return command
    pytest.skip("nobody may make a network namespace here")


@pytest.fixture(scope="module")
def notebook(small_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A notebook about the recording, saved after it was run."""
    path = tmp_path_factory.mktemp("notebook") / "who.ipynb"
    cells: list[dict[str, Any]] = [
        {"cell_type": "code", "execution_count": None, "id": f"c{number}", "metadata": {},
         "outputs": [], "source": source}
        for number, source in enumerate(CELLS)
    ]  # fmt: skip
    kernel = {"display_name": "Branchpoint", "language": "python", "name": "branchpoint"}
    made = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(made))
    for cell in cells:  # so that there is an output to compare, and it differs
        cell["outputs"] = [{"name": "stdout", "output_type": "stream", "text": "?"}]
    ready = path.with_name("again.ipynb")
    ready.write_text(json.dumps(made))
    found = bp.verify_notebook(ready, small_path)
    assert len(found.differences) == len(CELLS)
    run_in_place(path, small_path)
    return path


def run_in_place(path: Path, recording: Path) -> None:
    """Execute a notebook and save it, as JupyterLab does."""
    kernels = path.parent / "kernels" / "branchpoint"
    kernels.mkdir(parents=True)
    argv = [sys.executable, "-m", "branchpoint.notebook", "-f", "{connection_file}"]
    spec = {"argv": argv, "display_name": "Branchpoint", "language": "python"}
    (kernels / "kernel.json").write_text(json.dumps(spec))
    subprocess.run(
        [sys.executable, "-m", "branchpoint.sharing.proof.execution", path, path.parent],
        env={**os.environ, "JUPYTER_PATH": str(path.parent), "PYTHONPATH": str(PACKAGE),
             "BRANCHPOINT_RECORDING": str(recording)},
        check=True, capture_output=True, timeout=PATIENCE,
    )  # fmt: skip


@pytest.mark.long
def test_a_notebook_run_again_says_the_same_byte_for_byte(notebook: Path, small_path: Path) -> None:
    saved = json.loads(notebook.read_text())
    assert [len(cell["outputs"]) for cell in saved["cells"]] == [1] * len(CELLS)
    found = bp.verify_notebook(notebook, small_path)
    assert found, str(found)
    assert found.notes == []


@pytest.fixture(scope="module")
def whole(small: bp.Recording, notebook: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole bundle, on another computer's disk."""
    folder = tmp_path_factory.mktemp("received")
    return bp.share(small, folder / "triage.bpz", notebook=notebook, whole=True)


@pytest.mark.long
def test_a_whole_bundle_replays_on_a_computer_that_has_nothing(
    whole: Path, tmp_path: Path, small: bp.Recording
) -> None:
    done = elsewhere(tmp_path / "home", "verify", whole)
    assert done.returncode == 0, done.stdout + done.stderr
    known = len(small.files.digests)
    assert f"{known} of {known} machine states equal" in done.stdout
    assert "it replays as recorded" in done.stdout
    cache = tmp_path / "home" / ".cache" / "branchpoint"
    for kind in ("guest", "systems"):  # nothing was built there
        assert all(path.name.startswith("received-") for path in (cache / kind).iterdir())
    assert list(cache.rglob("*.deb")) == []
    assert not any(path.name.startswith("received-") for path in (cache / "boot").iterdir())


@pytest.mark.long
def test_the_boot_snapshot_of_a_trusted_bundle_is_used(whole: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    path = home / "trusted.branchpoint"
    assert elsewhere(home, "open", whole, "-o", path, "--trust").returncode == 0
    done = elsewhere(home, "verify", path)
    assert done.returncode == 0, done.stdout + done.stderr
    (booted,) = (home / ".cache" / "branchpoint" / "boot").iterdir()
    assert booted.name.startswith("received-")


@pytest.mark.long
def test_its_notebook_runs_there_byte_for_byte(
    whole: Path, tmp_path: Path, no_network: list[str]
) -> None:
    home = tmp_path / "home"
    opened = elsewhere(home, "open", whole, "-o", home / "work" / "triage.branchpoint")
    assert opened.returncode == 1 and "work" in opened.stderr  # this folder does not exist
    (home / "work").mkdir()
    opened = elsewhere(home, "open", whole, "-o", home / "work" / "triage.branchpoint")
    assert opened.returncode == 0, opened.stderr
    assert opened.stderr.count("warning") == 0
    done = elsewhere(home, "verify", "--notebook", home / "work" / "who.ipynb", inside=no_network)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "every output the same, byte for byte" in done.stdout


def test_a_thin_bundle_is_small_and_replays_where_the_images_are(
    small: bp.Recording, tmp_path: Path
) -> None:
    path = bp.share(small, tmp_path / "thin.bpz")
    assert path.stat().st_size < 100_000
    found = bp.verify(path)
    assert found, str(found)
    assert found.states == found.equal > 0
    assert found.events == len(small.events)
    assert [each.name for each in tmp_path.iterdir()] == ["thin.bpz"]


def test_a_thin_bundle_says_what_a_computer_lacks(small: bp.Recording, tmp_path: Path) -> None:
    path = bp.share(small, tmp_path / "thin.bpz")
    done = elsewhere(tmp_path / "home", "open", path)
    assert done.returncode == 0, done.stderr
    assert f"the guest image {small.manifest.machine.guest_image} is not on" in done.stderr
    assert f"the system image {small.manifest.machine.system_image} is not on" in done.stderr
    assert "branchpoint share --whole" in done.stderr


def test_all_of_a_sound_recording_is_verified(small: bp.Recording) -> None:
    found = bp.verify(small)
    assert found, str(found)
    assert found.checkpoints == len(list((small.path / "checkpoints").iterdir())) > 0


# -- recordings that lie


def forge(path: Path, change: Callable[[dict[str, Any]], None], number: int) -> None:
    """Change one line of the digests so that it looks genuine."""
    lines = (path / "digests.jsonl").read_bytes().splitlines()
    body = json.loads(lines[number][33:])
    change(body)
    data = json.dumps(body, separators=(",", ":")).encode()
    lines[number] = blake3(data).hexdigest(16).encode() + b" " + data
    (path / "digests.jsonl").write_bytes(b"\n".join(lines) + b"\n")


@pytest.mark.long
def test_a_state_that_differs_is_found_and_named(
    small_path: Path, copy_of: Callable[[Path], Path]
) -> None:
    path = copy_of(small_path)
    forge(path, lambda mark: mark.update(digest="0" * 64), 1)
    found = bp.verify(path)
    assert not found
    assert found.equal == 1
    assert any("in another state than the recording was" in each for each in found.problems)
    assert "does NOT replay as recorded" in str(found)
    done = subprocess.run(
        [sys.executable, "-m", "branchpoint.cli", "verify", path],
        capture_output=True, text=True, timeout=PATIENCE,
        env={**os.environ, "PYTHONPATH": str(PACKAGE)},
    )  # fmt: skip
    assert done.returncode == 1 and "does NOT replay" in done.stdout


@pytest.mark.long
def test_an_event_that_never_was_is_found(
    small_path: Path, copy_of: Callable[[Path], Path]
) -> None:
    path = copy_of(small_path)
    with RecordingFiles.open(path, write=True) as files:
        end = files.manifest.end
        files.events.add([bp.Event(at=end, source="kernel", text="never was")])
        files.events.flush()
        files.save(files.manifest)
    found = bp.verify(path)
    assert not found and found.equal == found.states
    assert any("never was" in each for each in found.problems)


@pytest.mark.long
def test_a_damaged_checkpoint_is_found(small_path: Path, copy_of: Callable[[Path], Path]) -> None:
    path = copy_of(small_path)
    victim = sorted((path / "checkpoints").iterdir())[1]
    data = bytearray(victim.read_bytes())
    data[-1] ^= 1
    victim.write_bytes(data)
    found = bp.verify(path)
    assert found.equal == found.states, "a replay needs no checkpoint"
    assert any(victim.name in each or "checkpoint" in each for each in found.problems)
