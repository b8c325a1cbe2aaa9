"""Mutants of what a guest's agent sends: frames in the mailbox, as a program with root rights in
the guest can write them.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from random import Random

from branchpoint.guest import wire
from mutants.harm import harmed, patched

_HEADER = struct.Struct("<IIQ")
_EDGES = (0, 8, 2**32, 2**62, 2**63, 2**64 - 8, 2**64 - 1)


@dataclass(frozen=True)
class Drained:
    """What the outbox contained at one reading."""

    now: int
    """The instant, in ns."""
    data: bytes
    """Whole frames."""


@dataclass(frozen=True)
class Frame:
    """One frame, taken apart."""

    kind: int
    at: int
    payload: bytes

    def encode(self, length: int | None = None) -> bytes:
        """The frame as bytes; ``length`` may be wrong."""
        size = len(self.payload) if length is None else length
        return _HEADER.pack(size, self.kind, self.at) + self.payload + bytes(-len(self.payload) % 8)


def frames_of(data: bytes) -> list[Frame]:
    """The frames in valid bytes."""
    found, at = [], 0
    while at < len(data):
        length, kind, instant = _HEADER.unpack_from(data, at)
        found.append(Frame(kind, instant, data[at + 16 : at + 16 + length]))
        at += 16 + -(-length // 8) * 8
    return found


def mutant(drains: list[Drained], chance: Random) -> tuple[list[Drained], list[int | None]]:
    """What a hostile guest sends in several readings one after the other, and its head positions.

    A head is the number of bytes it claims to have written; None stands for the true number.
    """
    start = chance.randrange(len(drains))
    chosen = drains[start : start + chance.choice((1, 2, 5, 20))]
    found = [Drained(one.now, _said(one, chance)) for one in chosen]
    heads: list[int | None] = [None] * len(found)
    if chance.random() < 0.1:
        heads[chance.randrange(len(heads))] = chance.choice(_EDGES)
    return found, heads


def _said(drained: Drained, chance: Random) -> bytes:
    frames = frames_of(drained.data)
    what = chance.randrange(10)
    if what == 0 or not frames:
        return harmed(drained.data, chance)
    if what == 1:
        number = chance.randrange(len(frames))
        start = sum(len(frame.encode()) for frame in frames[:number])
        return patched(drained.data, chance, _HEADER, start)
    for _ in range(chance.choice((1, 1, 2, 4))):
        number = chance.randrange(len(frames))
        frames[number] = _changed(frames[number], drained.now, chance)
    if what == 2:
        frames *= chance.choice((2, 30))
        frames.sort(key=lambda frame: frame.at)
    return b"".join(frame.encode() for frame in frames)


def _changed(frame: Frame, now: int, chance: Random) -> Frame:
    """What the agent sent, with other kinds, names and values in it."""
    kind, at, payload = frame.kind, frame.at, frame.payload
    what = chance.randrange(8)
    if what == 0:
        kind = chance.choice((wire.Kind.RAW, wire.Kind.LINE, wire.Kind.EVENT, 0, 5, 2**32 - 1))
    elif what == 1:
        at = chance.choice((0, now, now + 1, 2**63, 2**64 - 1, at - 1, at + 1)) % 2**64
    elif what == 2:
        payload = harmed(payload, chance)
    elif what == 3:
        payload = chance.choice(_EVENTS) + b"\0".join(chance.choices(_PAIRS, k=chance.randrange(6)))
        kind = wire.Kind.EVENT
    elif what == 4:
        source, stream = chance.choice(_SOURCES), chance.choice(_STREAMS)
        payload = source + b"\0" + stream + b"\0" + chance.choice(_TEXTS)
        kind = chance.choice((wire.Kind.RAW, wire.Kind.LINE))
    else:
        parts = payload.split(b"\0")
        place = chance.randrange(len(parts))
        name, equals, _ = parts[place].partition(b"=")
        parts[place] = name + equals + chance.choice(_TEXTS) if equals else chance.choice(_TEXTS)
        payload = b"\0".join(parts)
    return Frame(kind, at, payload[: wire.LONGEST_LINE + 600])


_EVENTS = (b"process.exit\0", b"process.start\0", b"container.exit\0", b"container.start\0",
           b"fault.start\0", b"fault.end\0", b"error\0", b"setup.complete\0", b"container.health\0",
           b"file.written\0", b"sdk.assert\0", b"agent.ready\0", b"container.restart\0",
           b"fault.skip\0", b"process.x\0")  # fmt: skip
_PAIRS = (b"id=1", b"id=2", b"id=", b"id=x", b"id=99999999999999999999", b"code=0", b"code=x",
          b"code=-1", b"code=" + b"9" * 5000, b"signal=9", b"signal=\xc2\xb2", b"signal=-9",
          b"name=server.1", b"name=../x", b"name=", b"name=\xff", b"text=\x1b[2J", b"text=",
          b"about=process/1", b"about=process/x", b"about=", b"type=kill", b"type=\xff",
          b"target=server.1", b"target=a,b", b"target=" + b"t" * 9000, b"params=delay=137000 x=1",
          b"params=delay=\xc2\xb2", b"for=\xc2\xb2", b"for=" + b"7" * 4400, b"for=5", b"why=x",
          b"dead=1", b"status=healthy", b"violated=1", b"path=/x", b"")  # fmt: skip
_SOURCES = (b"process/1", b"process/2", b"process/0", b"process/4294967296", b"process/9999999999",
            b"container/server.1", b"container/x", b"kernel", b"agent", b"process/",
            b"process/\xc2\xb2", b"container/../../evil", b"")  # fmt: skip
_STREAMS = (b"out", b"err", b"sdk", b"tty", b"", b"x")
_TEXTS = (b"", b"\xff\xfe", b"\0\0", b"x" * wire.LONGEST_LINE, b"\x1b[999999999;1H\x1b[99999L",
          b"\x1b]0;owned\x07", b"\xed\xa0\x80", b"\xc2\xb2", b"9" * 4400, b"-1", b"%n%s", b"\n\r\n",
          b'{"antithesis_assert": {"assert_type": "always", "must_hit": true, "hit": true, '
          b'"condition": false, "message": 1e400, "location": [], "details": {"x": 1e308}}}',
          b'{"antithesis_setup": {"status": [1]}}', b'{"\xff": 1}', b"[" * 20_000,
          b'{"x": ' * 9000, b'{"a": ' + b"1" * 5000 + b"}", b'{"a": "\\ud800"}',
          b"\xd4\xc3\xb2\xa1\x02\0\x04\0" + b"\xff" * 40)  # fmt: skip
