"""`branchpoint machine`: what is listed, kept, written, read and deleted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import recordings
from click.testing import CliRunner, Result
from equipping import equip
from guestimages import guest, start

import branchpoint as bp
from branchpoint.cli import main
from branchpoint.guest import image, machines
from branchpoint.guest.machines import Machine
from branchpoint.store import manifest
from branchpoint.system.bundle import cached
from branchpoint.timeline.directory import RecordingFiles


def cli(*words: object) -> Result:
    return CliRunner().invoke(main, ["machine", *map(str, words)], prog_name="branchpoint")


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Machine, Machine]:
    """Two machines on this computer; the second one is for new recordings."""
    cache = tmp_path / "cache"
    monkeypatch.setenv("BRANCHPOINT_CACHE", str(cache))
    monkeypatch.chdir(tmp_path)
    first = machines.note(guest(cache, b"a"), start(b"1"))
    second = machines.note(guest(cache, b"b"), start(b"1"))
    monkeypatch.setattr(machines.firmware, "pinned", lambda: second.firmware)
    image.choose(second.image.digest)
    return first, second


def recorded(path: Path, on: Machine) -> Path:
    machine = manifest.Machine(
        ram=recordings.RAM, guest_image=on.image.digest, system_image="02" * 16, nvdimm=1 << 28,
        board=on.board, firmware=on.firmware.digest, boot="03" * 16,
    )  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    RecordingFiles.create(path, recordings.head(machine=machine)).close()
    return path


def test_machines_are_listed_with_the_recordings_that_name_them(
    two: tuple[Machine, Machine], tmp_path: Path
) -> None:
    first, second = two
    recorded(tmp_path / "here.branchpoint", first)
    with bp.open(recorded(tmp_path / "below" / "deep" / "x.branchpoint", first)) as run:
        bp.share(run, tmp_path / "below" / "shared.bpz")
    (tmp_path / "broken.branchpoint").mkdir()
    (tmp_path / "broken.bpz").write_bytes(b"nothing")
    rows = {line.split()[0]: line.split() for line in cli().stdout.splitlines()}
    assert rows[first.name][1:] == ["6.12", "1", "0", "3"]
    assert rows[second.name][1:] == ["6.12", "1", "0", "0", "used", "for", "new", "recordings"]
    nowhere = cli("--below", tmp_path / "below" / "deep")
    assert f"{first.name}  6.12    1         0    1" in nowhere.stdout


def test_a_machine_that_is_not_here_is_listed_too(
    two: tuple[Machine, Machine], tmp_path: Path
) -> None:
    recorded(tmp_path / "here.branchpoint", two[0])
    assert machines.remove([two[0]]) > 0
    (line,) = [line for line in cli().stdout.splitlines() if line.startswith(two[0].name)]
    assert line.split()[1:] == ["1", "not", "here"]


def test_another_one_is_used_for_new_recordings(two: tuple[Machine, Machine]) -> None:
    first, _ = two
    assert f"machine {first.name} is used" in cli("use", first.name[:6]).stdout
    assert image.ensure_image() == first.image
    refused = cli("use", "zzzz")
    assert refused.exit_code == 1 and "no machine begins with 'zzzz'" in refused.stderr


def test_one_is_written_and_read(
    two: tuple[Machine, Machine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = two
    assert second.name in cli("export", "ours.bpm").stdout
    assert cli("export", "other.bpm", "--machine", first.name[:8]).exit_code == 0
    refused = cli("export", "other.bpm")
    assert refused.exit_code == 1 and "exists already" in refused.stderr
    monkeypatch.setenv("BRANCHPOINT_CACHE", str(tmp_path / "there"))
    assert f"machine {first.name} is here now" in cli("import", "other.bpm").stdout
    assert [machine.name for machine in machines.known()] == [first.name]


def test_only_what_no_recording_names_is_deleted(
    two: tuple[Machine, Machine], tmp_path: Path
) -> None:
    first, second = two
    third = machines.note(guest(tmp_path / "cache", b"c"), start(b"1"))
    recorded(tmp_path / "here.branchpoint", first)
    (tmp_path / "elsewhere").mkdir()
    asked = CliRunner().invoke(main, ["machine", "prune"], input="n\n")
    assert third.name in asked.stdout and first.name not in asked.stdout
    assert len(machines.known()) == 3
    assert "free again" in cli("prune", "--yes").stdout
    assert {machine.name for machine in machines.known()} == {first.name, second.name}
    assert "nothing to delete" in cli("prune").stdout
    cli("prune", "--yes", "elsewhere")  # the one for new recordings stays in any case
    assert machines.known() == [second]


def test_system_images_that_no_recording_names_are_deleted(
    two: tuple[Machine, Machine], tmp_path: Path
) -> None:
    systems = tmp_path / "cache" / "systems"
    for name, digest in (("named", "02" * 16), ("old", "04" * 16), ("just-used", "05" * 16)):
        (systems / name).mkdir(parents=True)
        (systems / name / "system").write_bytes(bytes(2 << 20))
        (systems / name / "digest").write_text(digest)
        if name != "just-used":
            os.utime(systems / name / "digest", (0, 0))
    recorded(tmp_path / "here.branchpoint", two[0])
    recorded(tmp_path / "there.branchpoint", two[1])
    assert "system images: 3, 6 MiB" in cli().stdout
    assert cached.advice() == ""
    with pytest.MonkeyPatch.context() as small:
        small.setattr(cached, "MUCH", 6 << 20)
        assert "system images take 0 GB in the cache" in cached.advice()
    told = cli("prune", "--yes").stdout
    assert "system images: 1, 2 MiB" in told and "2 MiB are free again" in told
    assert sorted(path.name for path in systems.iterdir()) == ["just-used", "named"]
    assert cached.find("04" * 16) is None and cached.find("05" * 16) is not None
    assert "nothing to delete" in cli("prune").stdout


def test_a_system_image_that_is_somebody_else_s_is_found(
    two: tuple[Machine, Machine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "cache" / "systems" / "a"
    folder.mkdir(parents=True)
    (folder / "digest").write_text("06" * 16)

    def refused(path: Path) -> None:
        raise PermissionError(path)

    monkeypatch.setattr(Path, "touch", refused)
    assert cached.find("06" * 16) == folder / "system"


def test_a_system_image_that_is_found_counts_as_used(
    two: tuple[Machine, Machine], tmp_path: Path
) -> None:
    folder = tmp_path / "cache" / "systems" / "a"
    folder.mkdir(parents=True)
    (folder / "system").write_bytes(b"x")
    (folder / "digest").write_text("06" * 16)
    os.utime(folder / "digest", (0, 0))
    assert [each.folder for each in cached.unnamed(set())] == [folder]
    assert cached.find("06" * 16) == folder / "system"
    assert cached.unnamed(set()) == []


def test_version_names_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    equip(tmp_path / "cache")
    monkeypatch.setenv("BRANCHPOINT_CACHE", str(tmp_path / "cache"))
    result = CliRunner().invoke(main, ["version"])
    assert result.exit_code == 0
    assert str(tmp_path / "cache") in result.stdout


def test_recordings_are_found_wherever_they_are_and_whatever_their_names(
    two: tuple[Machine, Machine], tmp_path: Path
) -> None:
    first, second = two
    deep = tmp_path / "a" / "b" / "c" / "d" / "e"
    deep.mkdir(parents=True)
    recorded(deep / "night", first)
    links = tmp_path / "links"
    links.mkdir()
    (links / "there").symlink_to(tmp_path / "a")
    (links / "round").symlink_to(links)
    for folder in (".", "a", str(deep / "night"), "links"):
        assert "nothing to delete" in cli("prune", "--yes", folder).stdout
    assert {machine.name for machine in machines.known()} == {first.name, second.name}


def test_nothing_is_deleted_when_a_recording_cannot_be_read(
    two: tuple[Machine, Machine], tmp_path: Path
) -> None:
    recorded(tmp_path / "here.branchpoint", two[0])
    for name in ("recording.json", "recording.json.bak"):
        (tmp_path / "here.branchpoint" / name).write_text("{")
    for folder, words in ((".", "recording.json"), ("recordigns", "there is no recordigns")):
        refused = cli("prune", "--yes", folder)
        assert refused.exit_code == 1 and words in refused.stderr
    assert len(machines.known()) == 2
