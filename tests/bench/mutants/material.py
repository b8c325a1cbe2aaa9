"""The material for mutants: a real small recording, its bundles, an image, messages of a guest."""

from __future__ import annotations

import json
import os
import shutil
import stat
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from blake3 import blake3

import branchpoint as bp
from branchpoint.events.event import Event
from branchpoint.guest import debian, image, wire
from branchpoint.guest.snapshot import Snapshot
from branchpoint.machine.pages import PAGE, TEMPLATE, hash_pages
from branchpoint.machine.spec import Hardware, Spec
from branchpoint.machine.state import State
from branchpoint.store import manifest
from branchpoint.store.manifest import Machine
from branchpoint.timeline.directory import RecordingFiles
from branchpoint.timeline.recording import Recording
from mutants import breeding
from mutants.breeding import Bundle, Files
from mutants.frames import Drained
from mutants.images import Image, tar
from subjects import SMALL, recorded

_SECONDS = 5
_RAM = 1 << 20  # bytes of memory of the machine whose images are cut
_CUT = 32 << 10  # bytes that are left of each image
_SYSTEM = 256 << 10
_PROGRAM = 64 << 10  # bytes that are left of each file in the image
_NOTEBOOK = {
    "cells": [
        {"cell_type": "code", "execution_count": 1, "id": "b", "metadata": {},
         "outputs": [{"name": "stdout", "output_type": "stream", "text": "at 0x7f00deadbeef\n"}],
         "source": "run = bp.open('small.branchpoint')"},
    ],
    "metadata": {"kernelspec": {"name": "branchpoint", "display_name": "Branchpoint"}},
    "nbformat": 4,
    "nbformat_minor": 5,
}  # fmt: skip
_CONFIG = {
    "architecture": "amd64", "os": "linux", "history": [],
    "config": {
        "Env": ["PATH=/bin", "A=b"], "Entrypoint": ["/bin/busybox"], "Cmd": ["sh"],
        "WorkingDir": "/srv/a", "User": "daemon:adm", "StopSignal": "SIGQUIT",
        "Volumes": {"/data": {}}, "Shell": ["/bin/sh", "-c"],
        "Healthcheck": {"Test": ["CMD-SHELL", "true"], "Interval": 10**9, "Retries": 2},
    },
}  # fmt: skip


@dataclass(frozen=True)
class Material:
    """Valid data, held in memory."""

    recording: Files
    events: list[Event]
    """The files of the recording."""
    thin: Bundle
    whole: Bundle
    image: Image
    drains: list[Drained]


def material(work: Path) -> Material:
    """Made now, or read from ``work``, where the last call stored it."""
    path = recorded(SMALL, _SECONDS, work)
    folder, of = work / "mutants", (path / "recording.json").read_bytes()
    complete = folder / "complete"
    if not complete.exists() or complete.read_bytes() != of:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        _make(Path(shutil.copytree(path, folder / "small.branchpoint")), folder)
        complete.write_bytes(of)
    return read(folder)


def read(folder: Path) -> Material:
    """The content of a folder."""
    layers = tuple((folder / f"layer{number}.tar").read_bytes() for number in (0, 1))
    drains = msgspec.msgpack.decode((folder / "frames").read_bytes(), type=list[Drained])
    with RecordingFiles.open(folder / "small.branchpoint") as files:
        columns = files.load_events()[0].columns()
    return Material(
        breeding.files_of(folder / "small.branchpoint"),
        [columns.event(number) for number in range(len(columns))],
        Bundle.of((folder / "thin.bpz").read_bytes()),
        Bundle.of((folder / "cut.bpz").read_bytes()),
        Image(layers, _CONFIG),
        drains,
    )


def _make(path: Path, folder: Path) -> None:
    with bp.open(path) as run:
        (folder / "frames").write_bytes(msgspec.msgpack.encode(_listen(run)))
        run.likelihood("exit:client.1", start=run.at(1), end=run.at(4), points=3, precision=0.3,
                       horizon="0.5s", workers=1)  # fmt: skip
        branch = run.at(2).branch(seed=7)
        branch.wait(0.1)
        assert branch.id
    with bp.open(path) as run:
        complete(run, _pieces(run), _layers(), folder)


def complete(run: Recording, pieces: Pieces, layers: list[bytes], folder: Path) -> None:
    """Write to ``folder`` what :func:`read` needs besides the recording and the frames."""
    notebook = folder / "look.ipynb"
    notebook.write_text(json.dumps(_NOTEBOOK))
    bp.share(run, folder / "thin.bpz", notebook=notebook)
    share_whole(run, pieces, folder, notebook)
    for number, layer in enumerate(layers):
        (folder / f"layer{number}.tar").write_bytes(layer)


def _listen(run: bp.Recording) -> list[Drained]:
    """What the agent sends about a system, commands, a terminal, raw output and faults."""
    with _heard() as drains:
        branch = run.start.branch()
        branch.wait(1)
        bp.bash("echo yes; echo no >&2; exit 3").run(branch, "server.1")
        shell = branch.terminal("client.1")
        shell.settle().type("ls -l /\n").settle().resize(30, 100)
        branch.faults.latency("server.1", for_=0.2)
        branch.faults.kill("client.1", for_=0.1)
        branch.wait(1)
        shell.close()
        branch.extract_file("/srv/greeting", "server.1")
        branch.extract_pcap("server.1", 0.5)
        branch.end.id  # noqa: B018 - telling it keeps the branch with the recording
    return drains


@contextmanager
def _heard() -> Iterator[list[Drained]]:
    found: list[Drained] = []
    decode = wire.decode

    def listen(data: bytes, now: int) -> list[wire.Record]:
        found.append(Drained(now, data))
        return decode(data, now)

    wire.decode = listen
    try:
        yield found
    finally:
        wire.decode = decode


# -- a whole bundle that is quick to read


@dataclass(frozen=True)
class Pieces:
    """The images of a machine; here only their beginnings, so that they are small."""

    guest: dict[str, bytes]
    """Files by the names of ``image.FILES``."""
    symbols: dict[str, int]
    system: bytes
    memory: bytes
    devices: bytes
    at: int
    """Instant of the boot snapshot, in ns."""


def _pieces(run: Recording) -> Pieces:
    booted = run.replayer.snapshot
    guest = image.find(run.manifest.machine.guest_image)
    assert guest is not None
    paths = zip(image.FILES, (guest.kernel, guest.initrd, guest.toolbox), strict=True)
    return Pieces(
        {name: _begin(path, _CUT) for name, path in paths},
        guest.kallsyms,
        _begin(booted.spec.modules[1], _SYSTEM),
        _begin(booted.template, _RAM),
        booted.state.devices,
        booted.state.at,
    )


def _begin(path: Path, size: int) -> bytes:
    with path.open("rb") as file:
        return file.read(size)


def share_whole(run: Recording, pieces: Pieces, folder: Path, notebook: Path) -> Path:
    """A whole bundle of the recording, as if these pieces were its machine."""
    with _cache(folder / "cache") as cache:
        place = cache / "guest" / "cut"
        breeding.write(pieces.guest, place)
        image.describe(place, image.digest_of(place), pieces.symbols)
        guest = image.load(place)
        digest = blake3(pieces.system).hexdigest(16)
        parts = {"system": pieces.system, "digest": digest.encode()}
        system = breeding.write(parts, cache / "systems" / "cut") / "system"
        memory = folder / "memory"
        memory.write_bytes(pieces.memory)
        pages = np.frombuffer(pieces.memory, np.uint8).reshape(-1, PAGE)
        slots = np.full(len(pages), TEMPLATE, np.uint32)
        symbols = (guest.kallsyms[name] for name in image.SYMBOLS)
        snapshot = Snapshot(
            Spec(Hardware(len(pieces.memory)), (guest.toolbox, system), *symbols),
            memory,
            hash_pages(pages),
            State(pieces.at, pieces.devices, slots),
            "",
        )
        machine = Machine(
            ram=len(pieces.memory), guest_image=guest.digest, system_image=digest,
            nvdimm=len(pieces.system),
        )  # fmt: skip
        path = Path(shutil.copytree(run.path, folder / "cut.branchpoint"))
        shutil.rmtree(path / "checkpoints")
        for name in ("recording.json", "recording.json.bak"):
            (path / name).write_bytes(manifest.encode(run.manifest.with_(machine=machine)))
        with Recording(RecordingFiles.open(path), lambda: snapshot) as short:
            return bp.share(short, folder / "cut.bpz", notebook=notebook, whole=True)


@contextmanager
def _cache(path: Path) -> Iterator[Path]:
    before = os.environ.get("BRANCHPOINT_CACHE")
    os.environ["BRANCHPOINT_CACHE"] = str(path)
    try:
        yield path
    finally:
        del os.environ["BRANCHPOINT_CACHE"]
        if before is not None:
            os.environ["BRANCHPOINT_CACHE"] = before


# -- an image


def _layers() -> list[bytes]:
    """A Debian package with shortened files, and a layer over it."""
    members: list[tuple[tarfile.TarInfo, bytes]] = []
    for path, node in debian.unpack(debian.resolve(["busybox-static"])).walk():
        info = tarfile.TarInfo(path)
        data = b""
        if node.is_dir:
            info.type = tarfile.DIRTYPE
        elif node.is_link:
            info.type, info.linkname = tarfile.SYMTYPE, node.target
        elif node.is_file and node.content:
            data = next(node.content.chunks(), b"")[:_PROGRAM]
        info.mode, info.size = stat.S_IMODE(node.mode), len(data)
        members.append((info, data))
    return [tar(members), upper_layer()]


def upper_layer() -> bytes:
    """A layer that uses all features of layers."""
    made: list[tuple[tarfile.TarInfo, bytes]] = []

    def add(name: str, data: bytes = b"", **changes: Any) -> None:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        for key, value in changes.items():
            setattr(info, key, value)
        made.append((info, data))

    add("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1::/usr:/bin/sh\n")
    add("etc/group", b"root:x:0:\nadm:x:4:daemon\n")
    add("usr/share/.wh.doc")
    add("srv/a", type=tarfile.DIRTYPE, mode=0o2770, uid=33, gid=33)
    add("srv/.wh..wh..opq")
    add("srv/link", type=tarfile.SYMTYPE, linkname="../etc/passwd")
    add("srv/hard", type=tarfile.LNKTYPE, linkname="etc/passwd")
    add("srv/" + "long" * 40, b"x", pax_headers={"SCHILY.xattr.user.a": "b"})
    add("pipe", type=tarfile.FIFOTYPE)
    add("null", type=tarfile.CHRTYPE, devmajor=1, devminor=3)
    return tar(made)
