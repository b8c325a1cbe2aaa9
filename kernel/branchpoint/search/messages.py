"""What an exploration and its worker processes say to each other, over a connection.

Both ends are this program, started by this user: that is why failures, which may hold functions of
the user, travel as pickles.
"""

from __future__ import annotations

from multiprocessing.connection import Connection

import msgspec
from msgspec import Struct

from branchpoint.decoding import from_msgpack
from branchpoint.futures.running.messages import Problem
from branchpoint.search.composed import Ending
from branchpoint.search.signs import Signal
from branchpoint.search.stretches import Ran
from branchpoint.search.tree import Node


class Setup(Struct, frozen=True, tag=True):
    """To a worker, first."""

    exploration: str
    """Path of its directory."""
    failures: list[bytes]
    """What ends a stretch, packed."""
    signals: tuple[Signal, ...]
    """What is seen of a stretch."""
    memory: int
    """Bytes that ends of stretches may take in it."""
    paths: list[str]
    """Where the parent's Python finds modules."""


class Learn(Struct, frozen=True, tag=True):
    """To a worker: a node was added to the tree."""

    node: Node


class Run(Struct, frozen=True, tag=True):
    """To a worker: run this stretch, and answer with a :class:`Ran`."""

    parent: int
    seed: int
    length: int
    """ns."""
    ending: Ending = ""
    """How it ends the test."""


class Answer(Struct, frozen=True, tag=True):
    """From a worker: what became of the stretch."""

    ran: Ran


Message = Setup | Learn | Run | Answer | Problem
_encoder = msgspec.msgpack.Encoder()


def send(link: Connection, message: Message) -> None:
    """Send a message; OSError when the other end is gone."""
    link.send_bytes(_encoder.encode(message))


def receive(link: Connection) -> Message | None:
    """The next message; None when the other end is gone."""
    try:
        data = link.recv_bytes()
    except (EOFError, ConnectionError):
        return None
    message: Message = from_msgpack(data, Message)
    return message
