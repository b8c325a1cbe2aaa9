"""Bundles made by attackers, or damaged by disks and networks: refused, with a message.

After each refusal the folder and the cache are unchanged.
"""

from __future__ import annotations

import io
import json
import os
import random
import resource
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import recordings
import zstandard
from bundles import Parts, Table, bundle, changed, describe, put_together, seal, take_apart, tree
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import branchpoint as bp
from branchpoint.cli import main
from branchpoint.machine.computer import STATES
from branchpoint.sharing.bundle import archive, contents
from branchpoint.sharing.bundle.opening import unpack
from branchpoint.store import manifest
from branchpoint.store.manifest import ContainerFacts, EngineFacts

FLIPS = 300


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundle(tmp_path_factory.mktemp("good"))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "cache"
    folder.mkdir()
    monkeypatch.setenv("BRANCHPOINT_CACHE", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


def refused(path: Path, match: str = r"bad\.bpz") -> str:
    """Open a bundle that must be refused without leaving anything behind; returns the message."""
    before = tree(path.parent), sorted(path.parent.rglob("*"))
    with pytest.raises(bp.RecordingError, match=match) as caught:
        unpack(path)
    assert str(path) in str(caught.value)
    assert (tree(path.parent), sorted(path.parent.rglob("*"))) == before
    return str(caught.value)


def place(tmp_path: Path) -> Path:
    """The folder of a bad bundle."""
    folder = tmp_path / "here"
    folder.mkdir(exist_ok=True)
    return folder / "bad.bpz"


# -- harm by chance


def test_a_bundle_cut_off_anywhere_is_refused(good: Path, tmp_path: Path) -> None:
    data = good.read_bytes()
    path = place(tmp_path)
    for length in sorted(
        {*range(0, len(data), 7), *range(200), *range(len(data) - 200, len(data))}
    ):
        path.write_bytes(data[:length])
        refused(path)


def test_a_flipped_bit_anywhere_is_refused(good: Path, tmp_path: Path) -> None:
    data = good.read_bytes()
    path = place(tmp_path)
    chance = random.Random(7)
    for _ in range(FLIPS):
        harmed = bytearray(data)
        harmed[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        path.write_bytes(harmed)
        refused(path)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_a_stretch_replaced_by_anything_is_refused(
    good: Path, tmp_path: Path, data: st.DataObject
) -> None:
    genuine = good.read_bytes()
    start = data.draw(st.integers(0, len(genuine)))
    length = data.draw(st.integers(0, 64))
    inserted = data.draw(st.binary(max_size=64))
    harmed = genuine[:start] + inserted + genuine[start + length :]
    path = place(tmp_path)
    path.write_bytes(harmed)
    if harmed != genuine:
        refused(path)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.binary(max_size=300))
def test_what_is_no_bundle_at_all_is_refused(tmp_path: Path, data: bytes) -> None:
    path = place(tmp_path)
    path.write_bytes(data)
    refused(path, "is not a sound bundle")
    path.write_bytes(b"PK\3\4" + data)
    refused(path, "is not a sound bundle")


# -- names that lead elsewhere


NAMES = [
    "../evil", "recording/../../evil", "/etc/evil", "recording//recording.json", "recording",
    "recording/recording.json.bak", "recording/checkpoints/1000", "recording/pages/000001.pack",
    "recording/boot", "recording/events/1.log", "recording/events/000001.log\n", "notebook.ipynb ",
    "C:\\evil", "recording/curves/../../evil.json", "recording/.recording.json.new", "", "guest",
    "guest/image.json", "boot/snapshot.json", "recording/events/０００００１.log", "bundle.json",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_only_names_of_the_list_are_unpacked(good: Path, tmp_path: Path, name: str) -> None:
    def add(table: Table, parts: Parts) -> None:
        parts[name] = b"evil"

    try:
        path = changed(good, place(tmp_path), add)
    except struct.error:
        pytest.skip("zip has no room for it")
    assert "cannot be in a bundle" in refused(path)


@pytest.mark.parametrize(
    "name",
    ["../who.ipynb", "/etc/who.ipynb", "who", ".who.ipynb", "a/b.ipynb", "a\\b.ipynb", "a\n.ipynb",
     "x" * 200 + ".ipynb", "who.ipynb\0", "‮who.ipynb", "-who.ipynb"],
)  # fmt: skip
def test_a_notebook_lies_beside_the_recording_or_nowhere(
    good: Path, tmp_path: Path, name: str
) -> None:
    def rename(table: Table, parts: Parts) -> None:
        table["notebook"] = name

    refused(changed(good, place(tmp_path), rename), "notebook")


def test_a_zip_archive_made_by_another_program_is_refused(good: Path, tmp_path: Path) -> None:
    table, parts = take_apart(good)
    path = place(tmp_path)
    for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        with zipfile.ZipFile(path, "w", compression) as made:
            made.writestr("bundle.json", seal(table))
            for name, content in parts.items():
                made.writestr(name, content)
        refused(path)


def raw_zip(path: Path, entries: list[tuple[str, bytes, int]]) -> Path:
    with zipfile.ZipFile(path, "w") as made:
        for name, content, mode in entries:
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.create_system, info.external_attr = 3, mode << 16
            made.writestr(info, content)
    return path


@pytest.mark.parametrize(
    ("name", "mode"),
    [("../../evil", 0o100644), ("/tmp-evil", 0o100644), ("recording/recording.json", 0o120777),
     ("recording/events", 0o040755), ("recording/null", 0o020666), ("recording/fifo", 0o010666)],
    ids=["slip", "absolute", "symlink", "folder", "device", "fifo"],
)  # fmt: skip
def test_links_devices_and_slips_are_refused(
    good: Path, tmp_path: Path, name: str, mode: int
) -> None:
    table, parts = take_apart(good)
    entries = [("bundle.json", seal(table), 0o100644), (name, b"/etc/passwd", mode)]
    entries += [(each, content, 0o100644) for each, content in parts.items() if each != name]
    refused(raw_zip(place(tmp_path), entries))


def test_an_entry_that_only_the_index_calls_a_link_is_refused(good: Path, tmp_path: Path) -> None:
    path = place(tmp_path)
    data = bytearray(good.read_bytes())
    at = data.rfind(b"PK\1\2") + 38
    data[at : at + 4] = (0o120777 << 16).to_bytes(4, "little")
    path.write_bytes(data)
    refused(path, "its index is damaged")


# -- tables of contents that do not tell the truth


def repeat(table: Table) -> None:
    table["parts"].insert(1, table["parts"][0])


def swap(table: Table) -> None:
    table["parts"].reverse()


def many(table: Table) -> None:
    table["parts"] = [
        describe(f"recording/events/{number:06d}.log", b"") for number in range(20_000)
    ]


TABLES: dict[str, tuple[Callable[[Table], Any], str]] = {
    "twice": (repeat, "one is there twice"),
    "order": (swap, "not in order"),
    "no parts": (lambda t: t.update(parts=[]), r"has no recording/recording\.json"),
    "many parts": (many, "parts|too large"),
    "huge": (lambda t: t["parts"][-1].update(size=2**62), "too large"),
    "huge stored": (lambda t: t["parts"][-1].update(stored=2**62), "stored"),
    "negative": (lambda t: t["parts"][-1].update(size=-1), "size"),
    "not a number": (lambda t: t["parts"][-1].update(size="many"), "size"),
    "fraction": (lambda t: t["parts"][-1].update(size=1.5), "size"),
    "digest": (lambda t: t["parts"][-1].update(blake3="00"), "blake3"),
    "other digest": (lambda t: t["parts"][-1].update(blake3="00" * 32), "match its digest"),
    "unknown": (lambda t: t.update(run="rm -rf /"), "unknown field"),
    "version": (lambda t: t.update(format=99), "newer Branchpoint .format 99"),
    "version 0": (lambda t: t.update(format=0), "format 0 is not 1"),
    "version x": (lambda t: t.update(format="x"), "format"),
    "machine": (lambda t: t["machine"].update(ram=1 << 23), "another machine"),
    "absurd machine": (lambda t: t["machine"].update(ram=1 << 60), "ram"),
    "boot without parts": (
        lambda t: t.update(boot={"at": 1, "engine": t["engine"]}, symbols={"switch": 1, "task": 1}),
        "do not fit together: boot/devices",
    ),
    "list": (lambda t: t.update(parts=[[]]), "parts"),
    "nothing": (lambda t: t.clear(), "missing required field"),
}


@pytest.mark.parametrize(("harm", "said"), TABLES.values(), ids=TABLES)
def test_a_wrong_table_of_contents_is_refused(
    good: Path, tmp_path: Path, harm: Callable[[Table], Any], said: str
) -> None:
    table, parts = take_apart(good)
    table["parts"] = [describe(name, content) for name, content in sorted(parts.items())]
    stored = sorted(parts.items())
    harm(table)
    refused(put_together(place(tmp_path), table, stored), said)


def test_a_deep_table_of_contents_is_refused(good: Path, tmp_path: Path) -> None:
    rest = b'",\n"bundle": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n"
    table, _ = take_apart(good)
    data = seal(table)[:12] + contents.blake3(rest).hexdigest().encode() + rest
    path = place(tmp_path)
    with path.open("wb") as file:
        writer = archive.Writer(file)
        writer.add(contents.NAME, io.BytesIO(data), len(data))
        writer.finish()
    refused(path, "has invalid content")


def test_images_without_a_boot_snapshot_are_refused(good: Path, tmp_path: Path) -> None:
    def add(table: Table, parts: Parts) -> None:
        parts["guest/toolbox"] = b"x"

    refused(changed(good, place(tmp_path), add), "do not fit together: guest/toolbox")


# -- bombs


@pytest.mark.parametrize("declared", [10, 1 << 20, 200 << 20], ids=["10", "1 MiB", "200 MiB"])
def test_a_bomb_is_stopped_at_the_declared_size(good: Path, tmp_path: Path, declared: int) -> None:
    """A gigabyte of zeros in 32 kB: only the stated size is unpacked, and in little memory."""
    table, parts = take_apart(good)
    packer = zstandard.ZstdCompressor(level=3).compressobj()
    zeros = bytes(1 << 20)
    bomb = b"".join([*(packer.compress(zeros) for _ in range(1024)), packer.flush()])
    name = "recording/digests.jsonl"
    stored = []
    table["parts"] = []
    for each, content in sorted(parts.items()):
        if each == name:
            line = describe(each, bomb, size=declared, packed=True)
        else:
            line = describe(each, content)
        table["parts"].append(line)
        stored.append((each + ".zst" * (each == name), bomb if each == name else content))
    path = put_together(place(tmp_path), table, stored)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(path, f"is larger than the {declared} bytes")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10  # KiB


def test_a_bundle_larger_than_the_disk_is_refused_before_anything_is_written(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = changed(good, place(tmp_path))
    monkeypatch.setattr("shutil.disk_usage", lambda where: type("Disk", (), {"free": 1000}))
    refused(path, "bytes in")


def test_a_wide_window_is_refused(good: Path, tmp_path: Path) -> None:
    """Decompression must not need hundreds of megabytes of memory."""
    table, parts = take_apart(good)
    settings_ = zstandard.ZstdCompressionParameters(window_log=27, compression_level=3)
    packer = zstandard.ZstdCompressor(compression_params=settings_).compressobj()
    content = b"".join([packer.compress(parts["recording/recording.json"]), packer.flush()])
    table["parts"] = [
        describe(each, plain)
        if each != "recording/recording.json"
        else describe(each, plain, stored=len(content), packed=True)
        for each, plain in sorted(parts.items())
    ]
    stored = [
        (each, plain) if each != "recording/recording.json" else (each + ".zst", content)
        for each, plain in sorted(parts.items())
    ]
    refused(put_together(place(tmp_path), table, stored), "memory|window")


# -- parts that are not what they should be


def test_what_is_no_recording_inside_is_refused(good: Path, tmp_path: Path) -> None:
    def harm(table: Table, parts: Parts) -> None:
        parts["recording/recording.json"] = b"{}"

    refused(changed(good, place(tmp_path), harm), "recording.json")


def test_what_is_no_notebook_inside_is_refused(good: Path, tmp_path: Path) -> None:
    def harm(table: Table, parts: Parts) -> None:
        parts["notebook.ipynb"] = b"<script>alert(1)</script>"

    refused(changed(good, place(tmp_path), harm), "is not a notebook")


def test_damage_inside_a_recording_is_named_and_the_rest_opens(good: Path, tmp_path: Path) -> None:
    """A bundle can contain a recording that was damaged before: as bad as the folder, not worse."""

    def harm(table: Table, parts: Parts) -> None:
        parts["recording/digests.jsonl"] += b"nonsense\n" * 10
        parts["recording/events/000001.log"] = parts["recording/events/000001.log"][:-9]
        parts["recording/curves/" + "cd" * 12 + ".json"] = b"[" * 60_000

    path = changed(good, place(tmp_path), harm)
    with bp.open(unpack(path).path) as run:
        assert any("digests.jsonl: line" in note for note in run.warnings)
        assert run.manifest.title == "three containers"


def test_absurd_recordings_are_refused(good: Path, tmp_path: Path) -> None:
    def harm(table: Table, parts: Parts) -> None:
        head = recordings.head()
        body = json.loads(manifest.encode(head))["recording"]
        body["machine"]["ram"] = 1 << 50
        rest = b'",\n"recording": ' + json.dumps(body).encode() + b"}\n"
        parts["recording/recording.json"] = (
            b'{"blake3": "' + contents.blake3(rest).hexdigest().encode() + rest
        )

    refused(changed(good, place(tmp_path), harm), "has invalid content")


# -- surroundings that were prepared


def test_a_link_in_place_of_the_recording_is_not_followed(good: Path, tmp_path: Path) -> None:
    path = place(tmp_path)
    path.write_bytes(good.read_bytes())
    outside = tmp_path / "outside"
    outside.mkdir()
    path.with_suffix(".branchpoint").symlink_to(outside)
    refused(path, "exists already")
    assert list(outside.iterdir()) == []


def test_a_link_in_place_of_the_notebook_is_not_followed(good: Path, tmp_path: Path) -> None:
    path = place(tmp_path)
    path.write_bytes(good.read_bytes())
    outside = tmp_path / "outside"
    (path.parent / "who.ipynb").symlink_to(outside)
    opened = unpack(path)
    assert not outside.exists()
    assert len(opened.notes) == 1


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    path = place(tmp_path)
    os.mkfifo(path)
    with pytest.raises(bp.RecordingError, match="is not an ordinary file"):
        unpack(path)


# -- words for the terminal


OBEYED = set("\x1b\x07\r\u202e")
"""Characters that a terminal does not just show."""


def test_no_word_of_a_stranger_commands_the_terminal(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not in the title, not in a container's image, not in an error that quotes what is wrong."""
    evil = "\x1b]0;owned\x07\x1b[31m\u202e\r"

    def dress(table: Table, parts: Parts) -> None:
        made = recordings.head(
            title=evil,
            ended=evil,
            containers=[ContainerFacts(name="db.1", service="db", image=evil, address=evil)],
            engine=EngineFacts(qemu=evil, binary="ab" * 32, plugin="cd" * 16, states=STATES),
        )
        parts["recording/recording.json"] = manifest.encode(made)
        table["engine"]["qemu"] = evil
        table["title"] = evil

    path = changed(good, place(tmp_path), dress)
    monkeypatch.setenv("BRANCHPOINT_QEMU", "/nowhere")  # or `open` would fetch one into the cache
    shown = CliRunner().invoke(main, ["open", str(path)])
    assert shown.exit_code == 0 and "db.1" in shown.output
    table, _ = take_apart(good)
    table[evil] = 1
    bad = put_together(path.with_name("worse.bpz"), table, [])
    failed = CliRunner().invoke(main, ["open", str(bad)])
    assert failed.exit_code == 1 and "unknown field" in failed.output
    for output in (shown.output, failed.output):
        assert not set(output) & OBEYED, repr(output)


def test_a_verdict_on_a_notebook_commands_no_terminal_either(tmp_path: Path) -> None:
    evil = "\x1b]0;owned\x07\r"
    path = tmp_path / "x.ipynb"
    cell = {"cell_type": "code", "execution_count": 1, "id": "a", "metadata": {}, "source": "1",
            "outputs": [{"name": evil, "output_type": "stream", "text": evil}]}  # fmt: skip
    path.write_text(json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4,
                                "nbformat_minor": 5}))  # fmt: skip
    shown = CliRunner().invoke(main, ["verify", "--notebook", str(path)])
    assert shown.exit_code == 1
    assert not set(shown.output) & OBEYED, repr(shown.output)


# -- the archive itself, before anybody looks at digests


def packed(*entries: tuple[str, bytes]) -> bytes:
    file = io.BytesIO()
    writer = archive.Writer(file)
    for name, content in entries:
        writer.add(name, io.BytesIO(content), len(content))
    writer.finish()
    return file.getvalue()


def read_all(data: bytes, *wanted: tuple[str, int], at_most: int = -1) -> list[bytes]:
    reader = archive.Reader(io.BytesIO(data))
    reader.first("head", 100)
    return [entry.read(at_most) for _, entry in reader.entries(wanted)]


def test_an_entry_whose_bytes_changed_is_refused() -> None:
    data = packed(("head", b"h"), ("a", b"some content"))
    assert read_all(data, ("a", 12)) == [b"some content"]
    at = data.index(b"some content")
    with pytest.raises(ValueError, match="a is damaged"):
        read_all(data[:at] + b"S" + data[at + 1 :], ("a", 12))


def test_an_entry_that_is_not_read_to_its_end_is_no_success() -> None:
    data = packed(("head", b"h"), ("a", b"some content"))
    with pytest.raises(ValueError, match="a has 8 bytes too many"):
        read_all(data, ("a", 12), at_most=4)
