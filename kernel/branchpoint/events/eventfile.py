"""Events on disk: compressed blocks of columns in ``events/NNNNNN.log`` (see :mod:`frames`).

Blocks are numbered from 0. When one is damaged, the instants of its neighbours bound what is lost:
a :class:`Gap`. A replay can fill it by writing the block of that number again.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Annotated, NamedTuple

import msgspec
import numpy as np
import zstandard
from msgspec import Meta, Struct
from numpy.typing import NDArray

from branchpoint import decoding
from branchpoint.events.event import Columns, Event, EventLog, Names
from branchpoint.events.reports import retold
from branchpoint.store.frames import Damage, Frame, FrameFiles

BLOCK_EVENTS = 16_384
BLOCK_TEXT = 1 << 20  # characters of text after which a block is written
_MOST_TEXT = 12 << 20  # characters of text that a block may have: at most 48 MiB
_BLOCK_LIMIT = 64 << 20  # bytes of one block, uncompressed; checked before unpacking
_LIMIT = 4 << 30  # bytes of all blocks, uncompressed: few kilobytes on disk can unpack to more
_FILE_LIMIT = 64 << 20  # bytes in one file
_LEVEL = 3  # of zstd
_NUMBERS = 1 << 40  # block numbers beyond this are refused
# Block number, how many following numbers it also covers, first and last instant (ns), events.
_HEAD = struct.Struct("<QQqqI")


class Gap(NamedTuple):
    """Events that were recorded but cannot be read; instants in absolute ns, both included."""

    first_block: int
    last_block: int
    start: int
    """Of the last event before the gap; 0 when there is none."""
    end: int | None
    """Of the first event after the gap; None when the gap is at the end."""


class _Block(Struct, array_like=True):
    """The columns of a block; codes are indices into ``names``."""

    at: bytes
    source: bytes
    container: bytes
    stream: bytes
    type: bytes
    names: Annotated[list[str], Meta(max_length=4 * BLOCK_EVENTS)]
    texts: Annotated[list[str], Meta(max_length=BLOCK_EVENTS)]
    fields: dict[int, dict[str, str]]


def _pack(columns: Columns) -> bytes:
    names = Names()
    known = columns.names.known

    def codes(column: NDArray[np.int32]) -> bytes:
        used, inverse = np.unique(column, return_inverse=True)
        table = np.array([names.code(known[c]) for c in used.tolist()], "<i4")
        return table[inverse].tobytes()

    count = len(columns)
    block = _Block(
        columns.at.astype("<i8").tobytes(),
        codes(columns.source),
        codes(columns.container),
        codes(columns.stream),
        codes(columns.type),
        names.known,
        columns.texts[:count],
        {p: dict(f) for p, f in columns.fields.items() if p < count},
    )
    return msgspec.msgpack.encode(block)


def _unpack(data: bytes, count: int, first: int, last: int) -> Columns:
    """Undo :func:`_pack`; texts that older versions made of fields get the words of this one.

    :raises ValueError: when the block is not what ``_pack`` makes of ``count`` events.
    """
    block: _Block = decoding.from_msgpack(data, _Block)
    names = Names()
    for name in block.names:
        names.code(name)

    def codes(column: bytes) -> NDArray[np.int32]:
        numbers = np.frombuffer(column, "<i4").astype(np.int32)
        if len(numbers) != count or numbers.min() < 0 or numbers.max() >= len(block.names):
            raise ValueError("a column does not fit the block")
        return numbers

    at = np.frombuffer(block.at, "<i8").astype(np.int64)
    if count == 0:
        return EventLog().columns()
    if len(at) != count or len(block.texts) != count or len(names.known) != len(block.names):
        raise ValueError("a column does not fit the block")
    if at[0] != first or at[-1] != last or first < 0 or (np.diff(at) < 0).any():
        raise ValueError("events are not in the order of time")
    if not all(0 <= position < count for position in block.fields):
        raise ValueError("fields without an event")
    types = codes(block.type)
    for position, fields in block.fields.items():
        text = retold(block.names[types[position]], fields)
        if text is not None:
            block.texts[position] = text
    return Columns(
        at, codes(block.source), codes(block.container), codes(block.stream), types,
        names, block.texts, dict(block.fields),
    )  # fmt: skip


def _length(event: Event) -> int:
    """Number of characters in its texts."""
    return len(event.text) + sum(len(k) + len(v) for k, v in event.fields.items())


def _blocks(events: list[Event], most: int) -> Iterator[list[Event]]:
    """The events in blocks of at most BLOCK_EVENTS events and about ``most`` characters."""
    block: list[Event] = []
    length = 0
    for event in events:
        size = _length(event)
        if block and (len(block) == BLOCK_EVENTS or length + size > most):
            yield block
            block, length = [], 0
        block.append(event)
        length += size
    if block:
        yield block


class EventFile:
    """The events of one recording; collects what is added and writes it block by block."""

    def __init__(self, directory: int | None, name: str = "events", *, write: bool) -> None:
        self._files = FrameFiles(
            directory,
            name,
            "log",
            b"BPevents",
            write=write,
            file_limit=_FILE_LIMIT,
            head_limit=_HEAD.size,
            body_limit=_BLOCK_LIMIT,
        )
        self._blocks: dict[int, Frame] = {}
        self._waiting: list[Event] = []
        self._waiting_text = 0  # characters
        self.count = 0
        """Blocks written so far, damaged ones included."""
        for frame in self._files.scan():
            if len(frame.head) == _HEAD.size:
                number, more, *_ = _HEAD.unpack(frame.head)
                if number + more < _NUMBERS:
                    self._blocks[number] = frame
                    self.count = max(self.count, number + more + 1)

    @property
    def damage(self) -> list[str]:
        """What was found damaged so far, as messages."""
        return self._files.damage

    def close(self) -> None:
        """Close the files; what was not flushed is lost."""
        self._files.close()

    def add(self, events: Iterable[Event]) -> None:
        """Add events, which must be later than all earlier ones; see :meth:`flush`.

        :raises RecordingError: when they cannot be written.
        """
        new = list(events)
        self._waiting += new
        self._waiting_text += sum(map(_length, new))
        if len(self._waiting) >= BLOCK_EVENTS or self._waiting_text >= BLOCK_TEXT:
            self.flush()

    def flush(self) -> None:
        """Write the events that are not in a file yet.

        :raises RecordingError: when they cannot be written.
        """
        for block in _blocks(list(self._waiting), BLOCK_TEXT):
            self._write(self.count, 0, block)
            self.count += 1
            del self._waiting[: len(block)]
        self._waiting_text = 0

    def sync(self) -> None:
        """Flush, and wait until the events are on the disk.

        :raises RecordingError: when they cannot be written.
        """
        self.flush()
        self._files.sync()

    def fill(self, gap: Gap, events: Iterable[Event]) -> None:
        """Fill a gap with events that a replay recreated.

        :raises RecordingError: when they cannot be written.
        :raises ValueError: when they need more blocks than the gap has.
        """
        blocks = list(_blocks(list(events), _MOST_TEXT)) or [[]]
        if len(blocks) > gap.last_block - gap.first_block + 1:
            raise ValueError("more events than there were in the gap")
        for place, block in enumerate(blocks):
            number = gap.first_block + place
            more = gap.last_block - number if place == len(blocks) - 1 else 0
            self._write(number, more, block)
        self.count = max(self.count, gap.last_block + 1)

    def _write(self, number: int, more: int, events: list[Event]) -> None:
        log = EventLog()
        log.extend(events)
        columns = log.columns()
        first, last = (events[0].at, events[-1].at) if events else (0, 0)
        head = _HEAD.pack(number, more, first, last, len(events))
        body = zstandard.ZstdCompressor(level=_LEVEL).compress(_pack(columns))
        self._blocks[number] = self._files.append(head, body)

    def load(self, expected: int = 0) -> tuple[EventLog, list[Gap]]:
        """All events on disk that can be read, and where some are missing.

        ``expected`` is the number of blocks known to have been written.
        """
        log = EventLog()
        gaps: list[Gap] = []
        room = _LIMIT
        reached, last = 0, 0  # the next block's number, and the latest instant so far
        for number in sorted(self._blocks):
            frame = self._blocks[number]
            if number < reached:  # a replay has filled this place
                continue
            try:
                columns, size = self._read(frame, last, room)
                room -= size
            except Damage as problem:
                if problem.message not in self.damage:
                    self.damage.append(problem.message)
                continue
            if number > reached:
                gaps.append(Gap(reached, number - 1, last, _HEAD.unpack(frame.head)[2]))
            log.extend_columns(columns)
            reached = number + _HEAD.unpack(frame.head)[1] + 1
            last = int(columns.at[-1]) if len(columns) else last
        if max(self.count, expected) > reached:
            gaps.append(Gap(reached, max(self.count, expected) - 1, last, None))
        return log, gaps

    def _read(self, frame: Frame, earliest: int, room: int) -> tuple[Columns, int]:
        """A block and its size, uncompressed; ``earliest`` (ns) and ``room`` (bytes) bound it."""
        _, _, first, last, count = _HEAD.unpack(frame.head)
        name = self._files.file_name(frame.file)
        body = self._files.body(frame)
        try:
            size = decoding.unpacked_size(body)
            if count > BLOCK_EVENTS or (count and first < earliest):
                raise ValueError("it is not a valid block of events")
            if size > room:
                raise ValueError(f"events of more than {_LIMIT >> 30} GiB are not read")
            data = decoding.unpacked(body, _BLOCK_LIMIT)
            return _unpack(data, count, first, last), size
        except ValueError as problem:
            raise Damage(name, frame.offset, str(problem)) from None
