"""What a pool and its worker processes say to each other, over a socket between the two.

Both ends are this program, started by this user: that is why a failure, which may hold functions
of the user, travels as a pickle. Nothing that comes from a recording is ever read that way.
"""

from __future__ import annotations

import socket
import struct
import sys
import traceback
from typing import Any, Self

import cloudpickle
import msgspec

import branchpoint.errors
from branchpoint.errors import BranchpointError, ComposeError
from branchpoint.futures.running.future import FutureSpec, Outcome, Shares
from branchpoint.timeline.failures import Failure
from branchpoint.timeline.openings import expect_in_place
from branchpoint.timeline.recording import Recording

_LENGTH = struct.Struct("<I")


class Setup(msgspec.Struct, frozen=True, tag=True):
    """To a worker, first: what all its futures have in common."""

    recording: str
    """Path of its directory."""
    failure: bytes
    """See :func:`packed`."""
    horizon: int
    """ns."""
    relative: bool
    """Whether the horizon counts from the fork; else it is an absolute instant."""
    noise: tuple[int, int] | None
    paths: list[str]
    """Where the parent's Python finds modules."""

    def horizon_of(self, fork: int) -> int:
        """Absolute ns up to which a future that begins at ``fork`` has to run."""
        return fork + self.horizon if self.relative else self.horizon


class Ask(msgspec.Struct, frozen=True, tag=True):
    """To a worker: run this."""

    job: FutureSpec


class Ready(msgspec.Struct, frozen=True, tag=True):
    """From a worker: it has opened the recording."""


class Answer(msgspec.Struct, frozen=True, tag=True):
    """From a worker: what became of the oldest job that it had not answered."""

    outcome: Outcome
    shares: Shares
    """How all its time was spent so far."""


class Problem(msgspec.Struct, frozen=True, tag=True):
    """From a worker: it cannot go on."""

    kind: str
    """Name of the error's class."""
    message: str
    hint: str

    @classmethod
    def of(cls, error: Exception) -> Self:
        """An error in the form that is sent."""
        if isinstance(error, BranchpointError):
            return cls(type(error).__name__, error.message, error.hint)
        told = "".join(traceback.format_exception(error))
        return cls("BranchpointError", f"a worker process failed:\n{told}", "")

    def error(self) -> BranchpointError:
        """The error again."""
        kind = getattr(branchpoint.errors, self.kind, BranchpointError)
        if kind is ComposeError or not issubclass(kind, BranchpointError):
            kind = BranchpointError
        return kind(self.message, self.hint)


Message = Setup | Ask | Ready | Answer | Problem
_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


def packed(failure: Failure) -> bytes:
    """A failure as bytes, with the functions that it needs."""
    data: bytes = cloudpickle.dumps(failure)
    return data


def unpacked(data: bytes) -> Failure:
    """The failure again; only for what :func:`packed` made in this program's own processes."""
    found: Any = cloudpickle.loads(data)
    if not isinstance(found, Failure):
        raise TypeError(f"{type(found).__name__} is not a failure")
    return found


def setup_for(
    run: Recording,
    failure: Failure,
    horizon: int,
    relative: bool,
    noise: tuple[int, int] | None,
) -> Setup:
    """What workers on this computer need to know.

    :raises RecordingError: when another recording is in its place now.
    """
    expect_in_place(run.files)
    path = str(run.path.resolve())
    return Setup(path, packed(failure), horizon, relative, noise, list(sys.path))


class Link:
    """One end of the connection. Each direction is used by one thread at a time."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end

    def send(self, message: Message) -> None:
        """Send a message; OSError when the other end is gone."""
        data = _encoder.encode(message)
        self._socket.sendall(_LENGTH.pack(len(data)) + data)

    def receive(self) -> Message | None:
        """The next message; None when the other end is gone."""
        head = self._exactly(_LENGTH.size)
        body = head and self._exactly(*_LENGTH.unpack(head))
        return _decoder.decode(body) if body else None

    def _exactly(self, length: int) -> bytes:
        data = bytearray()
        while len(data) < length:
            try:
                more = self._socket.recv(length - len(data))
            except ConnectionError:
                more = b""
            if not more:
                return b""
            data += more
        return bytes(data)

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()
