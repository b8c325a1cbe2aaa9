"""The command line: making recordings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from commandline import cli, crashed
from recordings import head

import branchpoint as bp
from branchpoint.system import load
from branchpoint.timeline.directory import RecordingFiles
from branchpoint.timeline.recorder import record as recorder


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return crashed(tmp_path)


@pytest.fixture
def compose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "compose.yaml"
    file.write_text("name: shop\nservices:\n  db:\n    image: db:1\n    ports: ['80:80']\n")
    monkeypatch.chdir(tmp_path)
    return file


def test_a_finished_recording_is_described(
    compose: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {}

    def record(compose: Path, target: Path, **options: Any) -> bp.Recording:
        asked.update(options, target=target)
        return bp.open(path)

    monkeypatch.setattr(bp, "record", record)
    result = cli("record", compose, "--seed", "7", "--for", "2m", "--until", "exit:*")
    assert result.exit_code == 0
    assert asked["target"] == Path("shop.branchpoint")
    assert (asked["seed"], asked["duration"], asked["after"]) == (7, 120, 2)
    assert "main@8.000000005" in result.stdout


def test_what_can_never_match_is_said_before_an_image_is_built(
    compose: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[object] = []
    monkeypatch.setattr(recorder, "build", lambda *given, **_: built.append(given))
    result = cli("record", compose, "--until", "exit:bd")
    assert (result.exit_code, built) == (1, [])
    assert "no container 'bd'" in result.stderr and "db.1" in result.stderr


def test_nothing_matched_has_a_status_of_its_own(
    compose: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def record(compose: Path, target: Path, **options: Any) -> bp.Recording:
        RecordingFiles.create(target, head(ended="ran for 60.000 s")).close()
        return bp.open(target)

    monkeypatch.setattr(bp, "record", record)
    result = cli("record", compose, "--until", "exit:*")
    assert result.exit_code == 3
    assert "ran for 60.000 s" in result.stdout
    assert "what --until asks for did not happen" in result.stderr
    assert cli("record", compose, "-o", "other.branchpoint").exit_code == 0


@pytest.mark.parametrize("begun", [True, False])
def test_interrupting_says_where_the_recording_is(
    begun: bool, compose: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def record(compose: Path, target: Path, **options: Any) -> bp.Recording:
        stop = KeyboardInterrupt()
        if begun:
            stop.add_note(f"what was recorded is in {target}")
        raise stop

    monkeypatch.setattr(bp, "record", record)
    result = cli("record", compose)
    assert result.exit_code == 130
    expected = (
        "stopped; what was recorded is in shop.branchpoint" if begun else "stopped; nothing was"
    )
    assert expected in result.stderr


def test_a_recording_is_never_overwritten(compose: Path, path: Path) -> None:
    result = cli("record", compose, "-o", path)
    assert result.exit_code == 1
    assert f"{path} exists already" in result.stderr


def test_files_profiles_and_variables_are_given_as_in_docker_compose(
    compose: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[list[Path], dict[str, Any]]] = []

    def record(files: list[Path], target: Path, **options: Any) -> bp.Recording:
        calls.append((files, options))
        return bp.open(path)

    monkeypatch.setattr(bp, "record", record)
    compose.with_name("test.yaml").write_text(
        "services:\n  db: {image: '${WHICH}'}\n  load: {image: 'load:1', profiles: [load]}\n"
    )
    compose.with_name("test.env").write_text("WHICH=db:2\n")
    words = ["-f", "compose.yaml", "-f", "test.yaml", "--profile", "load", "--env-file", "test.env"]
    assert cli("record", *words, "-o", "several.branchpoint").exit_code == 0
    files, options = calls.pop()
    system = load(files, options["profiles"], env_files=options["env_files"])
    images = {service.name: service.image for service in system.services.values()}
    assert images == {"db": "db:2", "load": "load:1"}
    assert cli("record", "-o", "here.branchpoint").exit_code == 0
    assert list(load(calls.pop()[0]).services) == ["db"]


def test_with_force_an_old_recording_is_replaced(
    compose: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {}

    def record(files: list[Path], target: Path, **options: Any) -> bp.Recording:
        asked.update(options, target=target)
        return bp.open(target)

    monkeypatch.setattr(bp, "record", record)
    assert cli("record", compose, "-o", path, "--force").exit_code == 0
    assert asked["force"] and asked["target"] == path


def test_a_malformed_compose_file_is_named_with_its_line(compose: Path) -> None:
    compose.write_text("services:\n  db:\n    imag: db:1\n")
    result = cli("record", compose)
    assert result.exit_code == 1
    assert f"Error: {compose}:3: " in result.stderr
