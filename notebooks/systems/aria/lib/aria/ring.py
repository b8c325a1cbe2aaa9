"""The ring buffer that holds the tip of the core stream."""

from __future__ import annotations


class RingBuffer:
    """The newest ``capacity`` bytes of a stream, addressed by their offset in the stream.

    ``end`` is the offset of the next byte to come.
    """

    def __init__(self, capacity: int, end: int = 0) -> None:
        self.capacity = capacity
        self.end = end
        self._bytes = bytearray(capacity)

    def append(self, data: bytes) -> None:
        """Adds bytes at the end; the oldest ones make room."""
        if len(data) > self.capacity:
            self.end += len(data) - self.capacity
            data = data[-self.capacity :]
        at = self.end % self.capacity
        first = min(len(data), self.capacity - at)
        self._bytes[at : at + first] = data[:first]
        self._bytes[: len(data) - first] = data[first:]
        self.end += len(data)

    def has(self, offset: int) -> bool:
        """Whether reading can start at ``offset``: it lies in the tip, or just at its end."""
        return self.end - self.capacity <= offset <= self.end

    def read(self, offset: int, length: int) -> bytes:
        """Up to ``length`` bytes from ``offset`` on, fewer at the end of the stream."""
        length = min(length, self.end - offset, self.capacity)
        at = offset % self.capacity
        data = bytes(self._bytes[at : at + length])
        return data + bytes(self._bytes[: length - len(data)])
