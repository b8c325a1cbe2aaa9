"""What a guest's agent sends, as the bytes that it leaves in the outbox."""

from __future__ import annotations

import struct


def frame(kind: int, payload: bytes, at: int = 0, length: int | None = None) -> bytes:
    head = struct.pack("<IIQ", len(payload) if length is None else length, kind, at)
    return head + payload + bytes(-len(payload) % 8)
