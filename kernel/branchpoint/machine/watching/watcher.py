"""What a plugin that tells what ran has in common with the others."""

from __future__ import annotations

import socket
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

from branchpoint.machine import engine

HERE = Path(__file__).parent
_HEADERS = [HERE / "watching.h", HERE.parent / "timekeeper" / "qemu.h"]

Told = TypeVar("Told")


class Watcher(ABC, Generic[Told]):
    """One such plugin in one emulator. Asked while the machine stands still.

    Its methods raise OSError when the emulator is gone.
    """

    source: ClassVar[Path]

    def __init__(self) -> None:
        self._link = socket.socket()

    def plugin(self) -> Path:
        """The compiled plugin.

        :raises SetupError: when no C compiler is there.
        """
        return engine.compiled(self.source.stem, [self.source], engine.PLUGIN, _HEADERS)

    def options(self) -> list[str]:
        """Options of the plugin's own."""
        return []

    def attach(self, link: socket.socket) -> None:
        """``link`` is our end of the connection."""
        self._link = link

    @abstractmethod
    def begin(self) -> None:
        """From here on, tell what runs; the machine may have become another one before."""

    @abstractmethod
    def take(self) -> Told:
        """What ran since it was last asked, or since :meth:`begin`."""

    def ask(self, request: bytes) -> None:
        """Send a request of one byte."""
        self._link.sendall(request)

    def receive(self, length: int) -> bytes:
        """So many bytes of the answer."""
        data = bytearray()
        while len(data) < length:
            got = self._link.recv(length - len(data))
            if not got:
                raise ConnectionResetError("the emulator closed its socket")
            data += got
        return bytes(data)
