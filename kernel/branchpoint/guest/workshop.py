"""A throw-away machine in which a script changes a file tree.

What images are made of wants to run programs of its own: packages' scripts, a compiler. They run
where everything else runs, in the deterministic machine: without root on this computer, without
its network, clock or chance, so that the same tree and the same script always give the same tree.

The tree is a read-only memory device there, with an overlay in memory above it. What a script has
changed comes out as a tar file of the overlay's upper layer; it is a stranger's, so its size is
bounded here and its content is for :mod:`branchpoint.guest.changes` to judge.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

from blake3 import blake3

from branchpoint import files, progress
from branchpoint.cache import cache_dir, disk_errors
from branchpoint.errors import ImageError
from branchpoint.guest import erofs, machines, wire
from branchpoint.guest.image import ensure_image
from branchpoint.guest.mailbox import Mailbox
from branchpoint.guest.snapshot import ensure_snapshot
from branchpoint.guest.tree import EPOCH, Tree
from branchpoint.machine import engine, firmware
from branchpoint.machine.computer import BOARD, Computer
from branchpoint.machine.pages import PagePool
from branchpoint.machine.spec import Hardware

RAM = 2 << 30
"""Bytes of memory of the machine; what a script changes has to fit, too."""
LARGEST = 1 << 30
"""Bytes that the changes may have, as a tar file."""
LIMIT = 3600 * 10**9
"""ns of virtual time after which a script that still runs is given up."""
ENTER = Path(__file__).with_name("enter.sh")
"""What starts a script of sh in its tree."""
CONTAINER = Path(__file__).with_name("contain.sh")
"""What starts the process of an OCI configuration in its tree."""

_KEPT = 200  # last lines of a script's output
_LONGEST = 1000  # bytes that are kept of each
_SCRIPT, _COLLECT = 1, 2  # numbers of the commands
_SETUP = """\
#!/bin/sh
set -eu
mkdir /run/w
mount -t tmpfs -o size=90%,mode=755 upper /run/w
mkdir /run/w/upper /run/w/work /run/w/root
mount -t overlay -o lowerdir=/system/root,upperdir=/run/w/upper,workdir=/run/w/work o /run/w/root
"""
_START = f"exec sh /system/branchpoint/enter.sh {EPOCH} 2>&1"
_TAR = (
    "exec tar --create --directory=/run/w/upper --format=pax --xattrs --xattrs-include='*' "
    "--numeric-owner --sort=name --pax-option=delete=atime,delete=ctime ."
)


@dataclass
class Outcome:
    """How a script ended: ``code`` 0 if well, and its last lines of output."""

    code: int
    lines: list[str] = field(default_factory=list)


def fingerprint(enter: Path = ENTER) -> str:
    """Of the machine: where it is equal, the same script makes the same of the same tree.

    ``enter`` is what starts the script.

    Which QEMU runs the machine is no part of it, as for recordings; the plugin is.
    """
    ours = "".join([_SETUP, _START, _TAR, enter.read_text("utf-8", "replace")])
    digest = blake3(ours.encode()).hexdigest(16)
    machine = machines.name_of(BOARD, firmware.pinned_digest(), ensure_image().digest)
    return f"{machine} {engine.find().source_digest} {RAM} {digest}"


@contextmanager
def changed(
    tree: Tree,
    script: str,
    extra: Tree | None = None,
    tell: Callable[[str], None] = lambda line: None,
    tick: Callable[[], None] = lambda: None,
    enter: Path = ENTER,
) -> Iterator[tuple[Outcome, IO[bytes] | None]]:
    """Run ``script`` with ``tree`` as its root; what it changed, as a file open to read.

    ``enter`` says what the script is: of sh, which finds ``extra`` at ``/dev/branchpoint``
    meanwhile (:data:`ENTER`), or the OCI configuration of a process (:data:`CONTAINER`), which can
    mount ``/system/extra``. ``tell`` is called with each line that it writes, ``tick`` now and
    then. When it ends with another code than 0, there is no file.

    :raises ImageError: when it does not end, or writes too much.
    :raises MachineError: when the machine ends.
    """
    module = Tree()
    module.merge(tree, "root")
    root = tree.root
    module.add_dir("root", root.mode & 0o7777, root.uid, root.gid)
    module.add_dir("extra")
    if extra is not None:
        module.merge(extra, "extra")
    module.add_file("extra/script", script.encode())
    module.add_file("branchpoint/setup.sh", _SETUP.encode(), 0o755)
    module.add_file("branchpoint/enter.sh", enter.read_bytes(), 0o755)
    module.add_file("branchpoint/system.conf", b"")
    folder = cache_dir()
    with disk_errors(folder), tempfile.TemporaryDirectory(dir=folder, prefix="workshop-") as place:
        path = Path(place, "system")
        files.need_space(folder, tree.size)
        erofs.write_nvdimm(module, path)
        with _Workshop(path, tick) as workshop:
            outcome = workshop.run(tell)
            if outcome.code:
                yield outcome, None
                return
            with tempfile.TemporaryFile(dir=place) as file:
                workshop.collect(file)
                workshop.close()
                file.seek(0)
                yield outcome, file


class _Workshop:
    """The machine, with the tree in it."""

    def __init__(self, path: Path, tick: Callable[[], None]) -> None:
        self._tick = tick
        image = ensure_image()
        snapshot = ensure_snapshot(image, path, Hardware(RAM))
        spec = replace(snapshot.spec, modules=(image.toolbox, path))
        self._computer = Computer(
            spec, template=snapshot.template, pool=PagePool(snapshot.hashes), track=False
        )
        self._computer.restore(snapshot.state)
        self._mailbox = Mailbox(self._computer)
        self._mailbox.skip()

    def __enter__(self) -> _Workshop:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._computer.close()

    def run(self, tell: Callable[[str], None]) -> Outcome:
        """Run the script to its end."""
        self._mailbox.send(wire.start())
        for record in self._records():
            if isinstance(record, wire.Event) and record.type == "setup.complete":
                break
        outcome = Outcome(0)
        self._mailbox.send(wire.exec(_SCRIPT, _START))
        for record in self._records():
            if isinstance(record, wire.Line) and record.source == f"process/{_SCRIPT}":
                line = _plain(record.data)
                outcome.lines = [*outcome.lines[1 - _KEPT :], line]
                tell(line)
            code = _exit_code(record, _SCRIPT)
            if code is not None:
                outcome.code = code
                return outcome
        raise AssertionError("unreachable")

    def collect(self, file: IO[bytes]) -> None:
        """Write the overlay's upper layer to ``file``, as a tar file."""
        self._mailbox.send(wire.exec(_COLLECT, _TAR, raw=True))
        size = 0
        said = b""
        with progress.task("what the scripts have changed", None, "MB") as task:
            for record in self._records():
                if isinstance(record, wire.Raw) and record.number == _COLLECT:
                    if record.stream == "out":
                        size += len(record.data)
                        if size > LARGEST:
                            raise ImageError(
                                f"the scripts have written more than {LARGEST >> 20} MiB",
                                "let them write less, or write it when the container starts",
                            )
                        file.write(record.data)
                    else:
                        said = (said + record.data)[-_LONGEST:]
                    task.update(size / 1e6)
                code = _exit_code(record, _COLLECT)
                if code is not None:
                    if code:
                        raise ImageError(
                            f"the changes could not be read (code {code}): {_plain(said)}"
                        )
                    return

    def _records(self) -> Iterator[wire.Record]:
        """What the guest says from now on. Ends only by the caller's leaving it, or an error."""
        begin = self._computer.now
        while self._computer.now < begin + LIMIT:
            self._computer.run_to(self._computer.now + wire.DRAIN, wire.TICK)
            self._tick()
            for record in self._mailbox.drain():
                if isinstance(record, wire.Event) and record.type == "error":
                    text = _plain(record.fields.get("text", "").encode())
                    raise ImageError(f"the machine cannot run scripts: {text}")
                yield record
        raise ImageError(
            f"the scripts have not ended after {LIMIT // 10**9} s of the machine's time",
            "does one of them wait for something? There is no network and nobody to answer",
        )


def _plain(line: bytes) -> str:
    """What a stranger's script wrote, safe to show on a terminal."""
    return "".join(c if c.isprintable() else "?" for c in line[:_LONGEST].decode(errors="replace"))


def _exit_code(record: wire.Record, number: int) -> int | None:
    """The code with which the command ended, if that is what the record says."""
    if not isinstance(record, wire.Event) or record.type != "process.exit":
        return None
    if record.fields.get("id") != str(number):
        return None
    code, signal = (record.fields.get(key, "") for key in ("code", "signal"))
    if not code.isdigit() or int(code) > 255:
        raise ImageError(f"the machine told a strange exit code: {code!r}")
    return int(code) or (1 if signal not in ("", "0") else 0)
