"""One checkpoint as a file: the machine at an instant, as the difference to an earlier one.

Layout, little endian: magic (8), blake3 of everything after it (32), then a fixed head, the
device state (zstd), the numbers of the pages that changed (u32 each) and their keys (16 bytes
each). The pages themselves are in the page store.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
import zstandard
from blake3 import blake3

from branchpoint.decoding import Malformed, unpacked
from branchpoint.errors import RecordingError
from branchpoint.machine.pages import HASH, Hashes, Slots

AS_BOOTED = bytes(HASH)
"""Instead of a page's key: the page is as in the boot snapshot again, so it is not stored."""
MAX_BYTES = 64 << 20  # of a file: all pages of 12 GiB of memory
_MAGIC = b"BPcheck1"
_HEAD = struct.Struct("<qqQ32sII")  # at, parent, outbox, digest, length of devices, pages
_START = len(_MAGIC) + 32
_MAX_DEVICES = 64 << 20  # bytes of device state, uncompressed


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The machine at one instant."""

    at: int
    """Absolute ns."""
    parent: int | None
    """The instant of the checkpoint that this one differs from; None: from the boot snapshot."""
    digest: bytes
    """Of the whole machine state, 32 bytes."""
    outbox: int
    """Bytes of the guest's outbox that had been read."""
    devices: bytes
    """The state of CPU and devices."""
    gfns: Slots
    """Numbers of the pages that differ from the parent's, ascending, u32[n]."""
    hashes: Hashes
    """What those pages contain, u8[n, 16]: keys in the page store, or AS_BOOTED."""


def encode(checkpoint: Checkpoint) -> bytes:
    """The bytes of a checkpoint's file.

    :raises ValueError: when there is not one hash for each page number.
    """
    if len(checkpoint.gfns) != len(checkpoint.hashes):
        raise ValueError("page numbers and hashes differ in number")
    devices = zstandard.ZstdCompressor(level=3).compress(checkpoint.devices)
    parent = -1 if checkpoint.parent is None else checkpoint.parent
    head = _HEAD.pack(
        checkpoint.at, parent, checkpoint.outbox, checkpoint.digest,
        len(devices), len(checkpoint.gfns),
    )  # fmt: skip
    gfns = np.asarray(checkpoint.gfns, "<u4").tobytes()
    rest = head + devices + gfns + np.ascontiguousarray(checkpoint.hashes, np.uint8).tobytes()
    return _MAGIC + blake3(rest).digest() + rest


def decode(data: bytes, at: int, ram: int, file: str) -> Checkpoint:
    """Read what :func:`encode` wrote for the instant ``at`` of a machine with ``ram`` bytes.

    :raises RecordingError: naming ``file``, when it is damaged or is not this checkpoint.
    """
    rest = memoryview(data)[_START:]
    if not data.startswith(_MAGIC) or len(rest) < _HEAD.size:
        raise RecordingError(f"{file} is cut off or is not a checkpoint")
    if blake3(rest).digest() != data[len(_MAGIC) : _START]:
        raise RecordingError(f"{file} is damaged: its content does not match its digest")
    instant, parent, outbox, digest, devices_length, count = _HEAD.unpack_from(rest)
    devices_end = _HEAD.size + devices_length
    gfns_end = devices_end + 4 * count
    if instant != at or not -1 <= parent < at or len(rest) != gfns_end + HASH * count:
        raise RecordingError(f"{file} does not describe a checkpoint at {at} ns")
    gfns = np.frombuffer(rest[devices_end:gfns_end], "<u4").astype(np.uint32)
    if count and ((np.diff(gfns.astype(np.int64)) <= 0).any() or int(gfns[-1]) >= ram // 4096):
        raise RecordingError(f"{file} lists pages that the machine does not have")
    packed = bytes(rest[_HEAD.size : devices_end])
    try:
        devices = unpacked(packed, _MAX_DEVICES)
    except Malformed as problem:
        raise RecordingError(f"{file} has no valid device state: {problem}") from None
    hashes = np.frombuffer(rest[gfns_end:], np.uint8).reshape(-1, HASH)
    parent_at = None if parent < 0 else parent
    return Checkpoint(at, parent_at, digest, outbox, devices, gfns, hashes)


def compose(chain: list[Checkpoint]) -> tuple[Slots, Hashes]:
    """The pages of the machine at the last of ``chain``, each the parent of the next.

    Numbers (ascending) and keys of all pages that differ from the boot snapshot.
    """
    pages = max((int(c.gfns[-1]) + 1 for c in chain if len(c.gfns)), default=0)
    table = np.zeros((pages, HASH), np.uint8)  # AS_BOOTED everywhere
    for checkpoint in chain:
        table[checkpoint.gfns] = checkpoint.hashes
    gfns = np.flatnonzero(table.any(axis=1)).astype(np.uint32)
    return gfns, table[gfns]


def merge(parent: Checkpoint, child: Checkpoint) -> Checkpoint:
    """``child`` as the difference to the parent of its parent."""
    gfns = np.union1d(parent.gfns, child.gfns).astype(np.uint32)
    hashes = np.empty((len(gfns), HASH), np.uint8)
    hashes[np.searchsorted(gfns, parent.gfns)] = parent.hashes
    hashes[np.searchsorted(gfns, child.gfns)] = child.hashes
    return Checkpoint(
        child.at, parent.parent, child.digest, child.outbox, child.devices, gfns, hashes
    )
