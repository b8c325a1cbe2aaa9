"""What commands write, and cannot write."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from recordings import make

from branchpoint.cli import commands, main


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make(tmp_path / "x.branchpoint")


@pytest.mark.parametrize(
    ("words", "refusal"),
    [
        ("x.csv --packets db.1", "only a report has packets"),
        ("x.html --schedule 1 2", "only a trace has a schedule"),
        ("x.txt", "unknown format"),
    ],
)
def test_what_cannot_be_exported_is_said_before_a_machine_runs(
    path: Path, monkeypatch: pytest.MonkeyPatch, words: str, refusal: str
) -> None:
    monkeypatch.setattr(commands, "briefly", lambda _: pytest.fail("it was opened"))
    refused = CliRunner().invoke(main, ["export", str(path), "-o", *words.split()])
    assert refused.exit_code == 1 and refusal in refused.stderr


def test_a_full_disk_is_said_in_a_line(path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "branchpoint.cli", "events", str(path)]
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr == "Error: the output cannot be written: No space left on device\n"
