"""The images of a whole bundle, put into the cache under names of their own.

What was made on this computer is looked for first and is never replaced: images are identified by
their content, and the boot snapshot of a bundle is only used by the recording that came with it. A
boot snapshot has state of the emulator's devices, which the emulator does not check. So it is only
used if the user trusts its sender; otherwise the guest image is booted here.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from blake3 import blake3

from branchpoint import files
from branchpoint.cache import cache_dir
from branchpoint.guest import image, snapshot
from branchpoint.machine import firmware
from branchpoint.sharing.bundle.contents import Contents
from branchpoint.store.manifest import EngineFacts
from branchpoint.system.bundle import cached


class Installation:
    """Which of a bundle's images are not on this computer yet."""

    def __init__(self, table: Contents, trust: bool) -> None:
        self._table = table
        self._names: dict[str, str] = {}
        if table.boot is not None:
            machine = table.machine
            self._names = {"guest": machine.guest_image, "system": machine.system_image}
            if machine.firmware:
                self._names["firmware"] = machine.firmware
            if trust:
                self._names["boot"] = table.boot_name
        self.wanted = [kind for kind in self._names if not self._is_here(kind)]
        """Of "guest", "system", "firmware", "boot"."""

    def need_space(self) -> None:
        """Raise SetupError unless the disk has room for what is wanted."""
        kinds = tuple(f"{kind}/" for kind in self.wanted)
        size = sum(part.size for part in self._table.parts if part.name.startswith(kinds))
        if size:
            files.need_space(cache_dir(), size)

    @contextlib.contextmanager
    def folders(self) -> Iterator[dict[str, Path]]:
        """Yield a folder for each kind that is wanted and that nobody has put there meanwhile.

        What is put there is in the cache afterwards: all of it or, after an error, nothing. A
        ValueError says what is wrong with it.
        """
        with contextlib.ExitStack() as stack:
            found: dict[str, Path] = {}
            for kind in self.wanted:
                stack.enter_context(files.locked(f"{kind}-received-{self._names[kind]}"))
                if not self._is_here(kind):
                    found[kind] = stack.enter_context(self._place(kind))
            yield found
            if "guest" in found:
                self._finish_guest(found["guest"])
            if "system" in found:
                self._finish_system(found["system"])
            if "firmware" in found:
                self._finish_firmware(found["firmware"])

    def _is_here(self, kind: str) -> bool:
        name = self._names[kind]
        if kind == "boot":
            return snapshot.is_received(name)
        find = {"guest": image.find, "system": cached.find, "firmware": firmware.find}[kind]
        return find(name) is not None

    @contextlib.contextmanager
    def _place(self, kind: str) -> Iterator[Path]:
        table = self._table
        if kind == "boot":
            assert table.boot is not None
            at, made_by = table.boot.at, fingerprint(table.boot.engine)
            with snapshot.receive(table.boot_name, table.machine.ram, at, made_by) as folder:
                yield folder
            return
        if kind == "firmware":
            with tempfile.TemporaryDirectory(dir=cache_dir()) as name:
                yield Path(name)
            return
        place = {
            "guest": f"guest/received-{self._names[kind]}",
            "system": f"systems/received-{self._names[kind]}",
        }[kind]
        with files.publish(cache_dir() / place) as folder:
            folder.mkdir()
            yield folder

    def _finish_guest(self, folder: Path) -> None:
        digest, symbols = self._table.machine.guest_image, self._table.symbols
        assert symbols is not None
        if image.digest_of(folder) != digest:
            raise ValueError(
                "its guest image is not the one that was recorded with, or is for another "
                "version of Branchpoint"
            )
        addresses = dict(zip(image.SYMBOLS, (symbols.switch, symbols.task), strict=True))
        young = dict(zip(image.YOUNG, symbols.young, strict=False))
        image.describe(folder, digest, addresses | young)

    def _finish_system(self, folder: Path) -> None:
        digest = self._table.machine.system_image
        if blake3().update_mmap(folder / "system").hexdigest(16) != digest:
            raise ValueError("its system image is not the one that was recorded with")
        (folder / "digest").write_text(digest)

    def _finish_firmware(self, folder: Path) -> None:
        content = {name: (folder / name).read_bytes() for name in firmware.FILES}
        if firmware.digest_of(content) != self._table.machine.firmware:
            raise ValueError("its firmware is not the one that was recorded with")
        firmware.install(content)


def fingerprint(engine: EngineFacts) -> str:
    """The fingerprint of a recording's engine, in the form of that of this computer's engine."""
    return f"{engine.qemu} {engine.binary} {engine.plugin}"
