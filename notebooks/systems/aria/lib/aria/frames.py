"""Frames: how messages lie in the core stream.

Header, little endian, 24 bytes: length of the payload (u32), CRC-32 of all that comes after it
(u32), sequence number (u64, from 1), stream time (u64, ns since 1970). Then the payload.
"""

from __future__ import annotations

import struct
import zlib

HEADER = struct.Struct("<IIQQ")
CHECKED = struct.Struct("<QQ")  # the part of the header that the checksum covers
MAX_PAYLOAD = 2048


class CorruptFrame(Exception):
    """Bytes that should be a frame of the core stream and are not."""


class Frame:
    """One message in its place in the core stream."""

    __slots__ = ("payload", "sequence", "time_ns")

    def __init__(self, sequence: int, time_ns: int, payload: bytes) -> None:
        self.sequence = sequence
        self.time_ns = time_ns
        self.payload = payload

    def encode(self) -> bytes:
        checked = CHECKED.pack(self.sequence, self.time_ns) + self.payload
        return struct.pack("<II", len(self.payload), zlib.crc32(checked)) + checked


def parse(data: bytes) -> tuple[list[Frame], int]:
    """The whole frames at the start of ``data`` and the number of bytes they take.

    An incomplete frame at the end is left for later; a wrong one raises :class:`CorruptFrame`.
    """
    frames: list[Frame] = []
    at = 0
    while at + HEADER.size <= len(data):
        length, checksum, sequence, time_ns = HEADER.unpack_from(data, at)
        if length > MAX_PAYLOAD:
            raise CorruptFrame(f"payload of {length} bytes, more than {MAX_PAYLOAD}")
        end = at + HEADER.size + length
        if end > len(data):
            break
        computed = zlib.crc32(data[at + 8 : end])
        if computed != checksum:
            raise CorruptFrame(
                f"checksum {checksum:08x} in the header, {computed:08x} computed "
                f"(payload of {length} bytes, sequence {sequence})"
            )
        frames.append(Frame(sequence, time_ns, data[at + HEADER.size : end]))
        at = end
    return frames, at
