"""The messages that Aria's services send each other over TCP.

One header, little endian, 20 bytes: magic "ARIA", operation (u32), offset in the core stream (u64),
length (u32). The length counts the body that follows; a REQUEST has no body, its length is the
number of bytes wanted.
"""

from __future__ import annotations

import struct

HEADER = struct.Struct("<4sIQI")
MAGIC = b"ARIA"

HELLO = 1  # who is there?
HERE = 2  # I am; offset: end of the core stream as I know it; body: my name
REQUEST = 3  # send me up to `length` bytes from `offset` on
DATA = 4  # bytes of the core stream from `offset` on; empty at the end of what there is
NOT_HERE = 5  # those bytes are not with me; ask somebody else
PUBLISH = 6  # body: publisher's name, NUL, the message
ACCEPTED = 7  # the message's frame starts at `offset`
FOLLOW = 8  # send me everything from `offset` on, and what comes later as it comes


class ProtocolError(Exception):
    """The other side does not speak this protocol."""


class Message:
    """One message; ``body`` is empty for a REQUEST."""

    __slots__ = ("body", "length", "offset", "op")

    def __init__(self, op: int, offset: int, length: int, body: bytes) -> None:
        self.op = op
        self.offset = offset
        self.length = length
        self.body = body


def pack(op: int, offset: int = 0, body: bytes = b"") -> bytes:
    """A message with a body."""
    return HEADER.pack(MAGIC, op, offset, len(body)) + body


def pack_request(offset: int, length: int) -> bytes:
    """A request for up to ``length`` bytes of the core stream from ``offset`` on."""
    return HEADER.pack(MAGIC, REQUEST, offset, length)


def take(buffer: bytearray) -> Message | None:
    """Cuts the first message off ``buffer``; None while it is incomplete."""
    if len(buffer) < HEADER.size:
        return None
    magic, op, offset, length = HEADER.unpack_from(buffer)
    if magic != MAGIC:
        raise ProtocolError(f"expected a message, got {bytes(buffer[:8])!r}")
    end = HEADER.size + (0 if op == REQUEST else length)
    if len(buffer) < end:
        return None
    message = Message(op, offset, length, bytes(buffer[HEADER.size : end]))
    del buffer[:end]
    return message
