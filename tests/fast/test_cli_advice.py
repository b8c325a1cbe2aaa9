"""What the command line advises, and which options go together."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner
from commandline import cli
from recordings import ORIGIN, SECOND, event, head

import branchpoint as bp
from branchpoint.cli import exploring, main
from branchpoint.search.exploration import HEAD
from branchpoint.timeline.directory import RecordingFiles

FAILED: dict[str, Any] = {"ended": "db.1 container.exit", "failure": ORIGIN + 8 * SECOND}


def made(path: Path, **about: Any) -> Path:
    with RecordingFiles.create(path, head()) as files:
        files.events.add([event(8, "snowman ☃")])
        files.save(head(**about))
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return made(tmp_path / "three.branchpoint", **FAILED)


def test_the_end_is_told_to_every_command_that_takes_an_instant(path: Path, tmp_path: Path) -> None:
    trace = ["-o", tmp_path / "trace.json", "--schedule", "1", "99"]
    for words in (["containers", path, "--at", "99"], ["export", path, *trace]):
        said = cli(*words).stderr
        assert "its last instant is: end" in said
        assert f"branchpoint run {path} --at end -- 'sleep 10; ...'" in said


def test_a_failure_that_did_not_happen_is_told_in_the_command_lines_words(tmp_path: Path) -> None:
    path = made(tmp_path / "fine.branchpoint", ended="ran for 10 s")
    said = cli("events", path, "--start", "failure").stderr
    assert "fine.branchpoint ended without a failure (ran for 10 s)" in said
    assert f"branchpoint events {path}" in said and "run." not in said


def test_options_that_contradict_each_other_are_refused(path: Path, tmp_path: Path) -> None:
    (tmp_path / "night.bpx").mkdir()
    (tmp_path / "night.bpx" / HEAD).touch()
    both = ["--timeout", "2s", "--background-for", "2s"]
    for words, said in (
        (["run", path, "--at", "1", *both, "--", "ls"], "--timeout or --background-for"),
        (["open", path, "--trust"], "are for bundles"),
        (["open", tmp_path / "night.bpx", "-o", tmp_path / "x"], "are for bundles"),
    ):
        result = cli(*words)
        assert result.exit_code == 2 and said in result.stderr


def test_a_recording_may_end_with_its_failure(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    def recorded(*_: Any, **options: Any) -> bp.Recording:
        asked.update(options)
        return bp.open(path)

    monkeypatch.setattr(bp, "record", recorded)
    words = ["record", tmp_path, "-o", tmp_path / "new.branchpoint", "--until", "exit:*"]
    assert cli(*words, "--after", "0s").exit_code == 0
    assert asked["after"] == bp.Time(0)
    assert cli(*words, "--after", "-1s").exit_code == 2


def test_a_shared_recording_says_how_its_machine_is_exported(path: Path, tmp_path: Path) -> None:
    said = cli("share", path, "-o", tmp_path / "a b.bpz").stdout
    assert f"branchpoint machine export '{tmp_path}/a b.bpm' --machine " in said


def test_a_terminal_without_a_character_gets_it_escaped(path: Path) -> None:
    result = CliRunner(charset="latin-1").invoke(main, ["events", str(path), "--text", "snowman"])
    assert result.exception is None and b"snowman \\u2603" in result.stdout_bytes


def test_the_next_command_can_be_copied_whatever_the_folder_is_called() -> None:
    finding = SimpleNamespace(number=1, failure="exit", path=Path("last night/1.branchpoint"))
    found: Any = SimpleNamespace(
        path=Path("last night"), findings=[finding], triage=lambda number: None, violated=True
    )
    assert exploring.summary(found).endswith("branchpoint open 'last night/1.branchpoint'")
    found.findings = []
    assert exploring.summary(found).endswith(f"branchpoint open 'last night/{exploring.BASE}'")
