"""What the host and the guest's agent write into each other's memory.

The mailbox is a piece of guest memory that the kernel leaves alone: two rings, the *inbox* (host to
guest) and the *outbox* (guest to host), each a sequence of frames. Positions count all bytes ever
written; a position modulo the ring's size is where in the ring it is. Numbers are little-endian.

==========  =======================================================================
offset      content
==========  =======================================================================
0           :data:`MAGIC`, written by the agent when it is ready
0x8         u64 bytes ever written to the inbox (by the host)
0x10        u64 bytes of it that the agent has consumed
0x18        u64 bytes ever written to the outbox (by the agent; always whole frames)
0x1000      inbox
0x100000    outbox
==========  =======================================================================

A frame is u32 length of its payload, u32 kind, u64 instant (ns; 0 from the host), the payload, and
zeros up to a multiple of 8 bytes. The agent looks into its inbox at every multiple of
:data:`TICK`, and never waits for the host: the outbox must be emptied at least every
:data:`DRAIN`, or frames are overwritten.

Anything that comes from the guest may have been written by a stranger's program with root rights
in there, so it is checked here and everything that cannot be is a :class:`MachineError`.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from enum import IntEnum

import msgspec

from branchpoint.errors import BranchpointError, MachineError

MAGIC = b"BPMAIL1\0"
SIZE = 8 << 20
IN_HEAD, IN_TAIL, OUT_HEAD = 0x8, 0x10, 0x18
INBOX, INBOX_SIZE = 0x1000, 0xFF000
OUTBOX, OUTBOX_SIZE = 0x100000, 7 << 20
TICK = 10_000_000
"""Period of the agent's look into the inbox, ns; the looks are at its multiples."""
DRAIN = 100_000_000
"""Longest virtual time, ns, between two readings of the outbox."""
TTY = "tty"
"""The stream of what was written to a terminal, always :class:`Raw`."""
LARGEST_TERMINAL = 1000
"""Rows or columns."""
LONGEST_LINE = 64 << 10
"""Bytes; the agent cuts longer lines into several records of this length."""
LONGEST_SCRIPT = (128 << 10) - 1
"""Bytes; the kernel's limit for one argument of a program."""
LONGEST_PUT = 512 << 10
"""Bytes of a file in one command."""
SHORTEST_NOISE = 1_000
"""ns; the least time for which scheduling noise takes the CPU."""
LATEST = 2**62 - 1
"""ns; no instant and no duration that the agent is told is longer."""

_HEADER = struct.Struct("<IIQ")
_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,200}"
_SOURCE = re.compile(rf"container/{_NAME}|test/{_NAME}/{_NAME}|process/[0-9]{{1,10}}|kernel|agent")
_TYPE = re.compile(r"[a-z]{1,40}\.[a-z]{1,40}|error")
_KEY = re.compile(r"[a-z]{1,40}")
_LONGEST_PAYLOAD = LONGEST_LINE + 512
_STREAMS = ("out", "err", "sdk", TTY)
_WORD = re.compile(r"[!-~]{1,200}")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}\$?(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,99})?")
_FAULT_ID = re.compile(r"[A-Za-z0-9._-]{1,40}")


class Kind(IntEnum):
    COMMAND = 1
    LINE = 2
    EVENT = 3
    RAW = 4


class Output(msgspec.Struct, frozen=True):
    """Something written by a program: a line, or just bytes."""

    at: int
    """When the agent read it, ns since power-on."""
    source: str
    """``container/NAME``, ``test/CONTAINER/COMMAND``, ``process/ID``, ``kernel`` or ``agent``."""
    stream: str
    """``out`` or ``err``; ``sdk`` for what a container's program tells the tester; or ``tty``."""
    data: bytes


class Line(Output, frozen=True):
    """One line, without its newline (or a piece of one longer than :data:`LONGEST_LINE`)."""


class Raw(Output, frozen=True):
    """A piece of the output of a command run in raw mode, or of what a terminal shows.

    Its ``source`` is always ``process/ID``.
    """

    @property
    def number(self) -> int:
        """Of the command."""
        number = _number_of(self.source)
        assert number is not None  # else it was refused
        return number


class Event(msgspec.Struct, frozen=True):
    """Something that happened, as told by the agent."""

    at: int
    type: str
    """``container.exit``, ``process.start``, ``setup.complete``, ``error`` ..."""
    fields: dict[str, str]


Record = Line | Raw | Event


# -- from the guest


def unread(out_head: int, seen: int) -> list[tuple[int, int]]:
    """Where in the mailbox the outbox's bytes from position ``seen`` to ``out_head`` are.

    Offset and length of each piece: none, one, or two when the ring's end lies between.
    """
    length = out_head - seen
    if not 0 <= length <= OUTBOX_SIZE or out_head % 8:
        raise MachineError(
            f"the guest's outbox went from {seen} to {out_head}: it was overrun or overwritten"
        )
    return [(OUTBOX + start, size) for start, size in _pieces(seen, length, OUTBOX_SIZE)]


def decode(data: bytes, now: int) -> list[Record]:
    """The records in ``data``, whole frames from the outbox, read at instant ``now`` (ns)."""
    records: list[Record] = []
    position = before = 0
    while position < len(data):
        if len(data) - position < _HEADER.size:
            raise _malformed("ends inside a header", data, position)
        length, kind, at = _HEADER.unpack_from(data, position)
        start = position + _HEADER.size
        if length > _LONGEST_PAYLOAD or start + _padded(length) > len(data):
            raise _malformed(f"is too long ({length} bytes)", data, position)
        if not before <= at <= now:
            raise _malformed(f"is dated {at}, between {before} and {now}", data, position)
        payload = data[start : start + length]
        match kind:
            case Kind.LINE:
                records.append(Line(at, *_output(payload, data, position)))
            case Kind.RAW:
                source, stream, content = _output(payload, data, position)
                if _number_of(source) is None:
                    raise _malformed("has raw output of no command", data, position)
                records.append(Raw(at, source, stream, content))
            case Kind.EVENT:
                records.append(_event(at, payload, data, position))
            case _:
                raise _malformed(f"is of an unknown kind ({kind})", data, position)
        before = at
        position = start + _padded(length)
    return records


def _output(payload: bytes, data: bytes, position: int) -> tuple[str, str, bytes]:
    match payload.split(b"\0", 2):
        case [source, stream, content]:
            names = _text(source), _text(stream)
            if _SOURCE.fullmatch(names[0]) and names[1] in _STREAMS:
                return *names, content
    raise _malformed("has no proper source", data, position)


def _number_of(source: str) -> int | None:
    kind, _, number = source.partition("/")
    return int(number) if kind == "process" else None


def _event(at: int, payload: bytes, data: bytes, position: int) -> Event:
    type_, *pairs = (_text(part) for part in payload.removesuffix(b"\0").split(b"\0"))
    fields = dict(pair.partition("=")[::2] for pair in pairs)
    if not _TYPE.fullmatch(type_) or not all(_KEY.fullmatch(key) for key in fields):
        raise _malformed("is no proper event", data, position)
    return Event(at, type_, fields)


def _text(data: bytes) -> str:
    return data.decode(errors="replace")


def _malformed(what: str, data: bytes, position: int) -> MachineError:
    return MachineError(
        f"a frame from the guest {what}: {data[position : position + 48].hex(' ', 4)}",
        "a program inside has written over the agent's memory, or this is a bug of ours",
    )


# -- to the guest


def frame(payload: bytes) -> bytes:
    """The frame for a command, made by one of the functions below."""
    if len(payload) > INBOX_SIZE - 2 * _HEADER.size:
        raise BranchpointError(f"a command of {len(payload)} bytes does not fit into the mailbox")
    return (_HEADER.pack(len(payload), Kind.COMMAND, 0) + payload).ljust(
        _HEADER.size + _padded(len(payload)), b"\0"
    )


def room(in_head: int, in_tail: int) -> int:
    """Bytes that may be written to the inbox now."""
    if not 0 <= in_head - in_tail <= INBOX_SIZE:
        raise MachineError(f"the guest consumed {in_tail} bytes of an inbox of {in_head}")
    return INBOX_SIZE - (in_head - in_tail)


def placed(frames: bytes, in_head: int) -> list[tuple[int, bytes]]:
    """What to write where in the mailbox to append ``frames`` to the inbox at ``in_head``.

    The last write is that of the inbox's new head. The caller checks :func:`room`.
    """
    writes, done = [], 0
    for start, size in _pieces(in_head, len(frames), INBOX_SIZE):
        writes.append((INBOX + start, frames[done : done + size]))
        done += size
    writes.append((IN_HEAD, struct.pack("<Q", in_head + len(frames))))
    return writes


def start() -> bytes:
    """Mount the system image, set the system up, start its containers."""
    return _strings("start")


ROOT = "root"
"""Runs a command as root, with all rights."""
OWN = "own"
"""Runs a command as the container's user, with the rights of its first process."""


def user(name: str) -> str:
    """Runs a command as another user that the container knows, with the rights of its first
    process: a name or a number, with ``:`` and a group behind it.

    :raises BranchpointError: when it cannot be one.
    """
    if not _USER.fullmatch(name):
        raise BranchpointError(f"{name!r} is no user", 'for example "postgres", 999 or "999:999"')
    return f"user {name}"


def exec(
    number: int,
    script: str,
    container: str = "",
    *,
    raw: bool = False,
    environment: Mapping[str, str] | None = None,
    user: str = ROOT,
) -> bytes:
    """Run ``sh -c script`` in a container, or in the guest itself, as command ``number``.

    ``number`` (u32) names it in events, in its output (``process/NUMBER``), for :func:`signal`.
    ``user``: :data:`ROOT`, :data:`OWN`, or what :func:`user` gives. (Guests from before there was a
    choice run everything as root.)
    """
    if len(script.encode()) > LONGEST_SCRIPT:
        raise BranchpointError(
            f"a command of {len(script.encode())} bytes is too long for Linux",
            "write it to a file in the machine and run that",
        )
    mode = "raw" if raw else "lines"
    return _strings("exec", str(number), container, mode, *_counted(environment), script, user)


def terminal(
    number: int,
    container: str = "",
    *,
    rows: int = 24,
    columns: int = 80,
    environment: Mapping[str, str] | None = None,
    user: str = ROOT,
) -> bytes:
    """Start a shell at a terminal (an ``xterm-256color``) in a container, as command ``number``.

    Shell and ``user`` are as for :func:`exec`. What it and its programs write are :class:`Raw`
    pieces of stream :data:`TTY`; they may end within a character.
    """
    size = _size(rows, columns)
    return _strings("terminal", str(number), container, *size, *_counted(environment), user)


def typed(number: int, data: bytes) -> bytes:
    """Type ``data`` (1 to :data:`LONGEST_PUT` bytes) at the terminal of command ``number``."""
    if not 1 <= len(data) <= LONGEST_PUT:
        raise BranchpointError(
            f"{len(data)} bytes cannot be typed at once", f"1 to {LONGEST_PUT} can"
        )
    return _strings("type", str(number)) + data


def resize(number: int, rows: int, columns: int) -> bytes:
    """Give the terminal of command ``number`` another size; its programs get SIGWINCH."""
    return _strings("resize", str(number), *_size(rows, columns))


def hangup(number: int) -> bytes:
    """Take the terminal of command ``number`` away; its programs get SIGHUP."""
    return _strings("hangup", str(number))


def signal(number: int, signal_number: int) -> bytes:
    """Send a signal to the process group of command ``number``."""
    return _strings("signal", str(number), str(signal_number))


def container(verb: str, name: str, argument: str = "") -> bytes:
    """Do ``verb`` to a container: ``kill`` (``argument``: the signal's number, 9 if none),
    ``stop``, ``start``, ``restart``, ``pause`` or ``unpause``.
    """
    return _strings("container", verb, name, *([argument] if argument else []))


def finish_test(kind: str) -> bytes:
    """End the test of this timeline, ``eventually`` or ``finally``: with a command of that kind."""
    return _strings("test", "finish", kind)


def put(path: str, data: bytes, container: str = "", *, mode: int = 0o644) -> list[bytes]:
    """Write a file, as a list of commands; each is answered by ``file.written`` or ``error``."""
    head = ("put", container, path, f"{mode:o}")
    return [
        _strings(*head, str(offset)) + data[offset : offset + LONGEST_PUT]
        for offset in range(0, max(len(data), 1), LONGEST_PUT)
    ]


def seed(data: bytes) -> bytes:
    """From here on, other random numbers, which follow from these bytes (1 to 512).

    They go into the kernel's random pool; the injector draws all faults that have not begun anew,
    and scheduling noise goes on with other numbers.
    """
    if not 1 <= len(data) <= 512:
        raise BranchpointError(f"a seed has 1 to 512 bytes, not {len(data)}")
    return _strings("seed") + data


def noise(every: int, longest: int) -> bytes:
    """Scheduling noise: the agent takes the CPU from all others, now and then.

    It waits for an exponentially distributed time with mean ``every`` (ns; 0: no more noise),
    then holds the CPU for a time between :data:`SHORTEST_NOISE` and ``longest`` (ns) whose
    logarithm is uniform. A machine makes none until it is told to.
    """
    if not (every == 0 or 10_000 <= every <= LATEST):
        raise BranchpointError(f"noise comes every 10 µs or more, not every {every} ns")
    if not SHORTEST_NOISE <= longest <= 1_000_000_000:
        raise BranchpointError(f"noise holds the CPU for 1 µs to 1 s, not {longest} ns")
    return _strings("noise", str(every), str(longest))


def encoded(text: str) -> str:
    """``text`` as it is written in a line of words: without newlines."""
    return text.replace("%", "%25").replace("\n", "%0A")


def decoded(text: str) -> str:
    """The text that was :func:`encoded`."""
    return text.replace("%0A", "\n").replace("%25", "%")


def plan(text: str) -> bytes:
    """Which faults the injector draws from here on (from set-up complete, if that is to come).

    ``text`` holds lines of words; times are ns, instants count from set-up complete, values with
    a newline or a percent sign are :func:`encoded`:

    =================================================  ==========================================
    ``quiet FROM UNTIL``                               no fault begins in it; drawn ones that are
                                                       active are ended at its begin
    ``kind TYPE EVERY SHORTEST LONGEST``               a Poisson process: on average one ``EVERY``
    ``once TYPE FROM UNTIL PPM SHORTEST LONGEST``      at most once, with this probability (parts
                                                       per million), equally likely at any time
    ``param NAME LOW HIGH``                            an integer drawn for each of its faults
    ``target LABEL``                                   one thing that it may hit
    ``begin ACTION``, ``end ACTION``                   what is done to that target
    =================================================  ==========================================

    Durations are uniform between ``SHORTEST`` and ``LONGEST``; both 0: instantaneous, and ``end``
    is not done. A target is drawn among those that no active fault of the same type holds; when
    there is none, the fault does not happen. Actions are those of :func:`fault`; in them
    ``{NAME}`` stands for the drawn value (``${NAME}`` does not: it is the shell's). An unreadable
    plan is answered by an ``error``, and the old one stays. A new plan leaves active faults alone,
    and a ``once`` of it that was in the old one and has happened does not happen again.
    """
    return _strings("faults", text)


def fault(
    identity: str, type_: str, target: str, params: str, duration: int, begin: str, end: str
) -> bytes:
    """Begin a fault now; undo it after ``duration`` ns (0: it is instantaneous, nothing to undo).

    ``identity`` names it in its events ``fault.start`` and ``fault.end`` and for :func:`heal`;
    numbers are the injector's own. ``params`` is text for the event. The actions are empty or

    ============================  =========================================================
    ``container VERB NAME [X]``   as :func:`container`
    ``names VERB NAME {id} [X]``  how a container's name server fails, or that it does no more
    ``clock OFFSET``              steps the guest's clock (CLOCK_REALTIME) by so many ns
    ``sh SCRIPT``                 runs a shell script in the guest, as root
    ============================  =========================================================

    A script runs ahead of all other processes, so that a fault ends in time whoever keeps the CPU
    busy; what it leaves behind should not (``chrt -o 0``).

    In actions ``{id}`` stands for the fault's id. An action that fails is an ``error`` about
    ``fault/ID`` and ends the fault; after a script ``end`` is done all the same.
    """
    if not _FAULT_ID.fullmatch(identity) or identity.isdecimal():
        raise BranchpointError(f"a fault cannot be called {identity!r}", 'use a name such as "b1"')
    if not _WORD.fullmatch(type_):
        raise BranchpointError(f"a fault's type is one short word, not {type_!r}")
    if not 0 <= duration <= LATEST:
        raise BranchpointError(f"a fault cannot last {duration} ns")
    return _strings("fault", identity, type_, target, params, str(duration), begin, end)


def heal(identity: str = "") -> bytes:
    """End the active fault with this id or number now, or all of them."""
    if identity and not _FAULT_ID.fullmatch(identity):
        raise BranchpointError(f"there can be no fault called {identity!r}")
    return _strings("heal", *([identity] if identity else []))


def injector(verb: str, number: int = 0) -> bytes:
    """``pause`` the injector (which ends all active faults), ``unpause`` it, or ``skip`` a fault.

    While it is paused, faults are drawn as ever, but do not happen. ``skip`` takes the number of
    one whose time has not come: it does not happen, and all others do as before.
    """
    if verb not in ("pause", "unpause", "skip"):
        raise BranchpointError(f"the injector can pause, unpause or skip, not {verb!r}")
    if (0 < number <= LATEST) != (verb == "skip"):
        raise BranchpointError(f"{verb} cannot be about fault {number}")
    return _strings("injector", verb, *([str(number)] if number else []))


def clock() -> bytes:
    """Tell what the wall clock shows: an event "clock.read" with ``wall`` (ns since 1970), and the
    instant ``at`` which it did (ns).
    """
    return _strings("clock")


def _size(rows: int, columns: int) -> tuple[str, str]:
    if not (1 <= rows <= LARGEST_TERMINAL and 1 <= columns <= LARGEST_TERMINAL):
        raise BranchpointError(
            f"a terminal cannot have {rows} rows and {columns} columns",
            f"1 to {LARGEST_TERMINAL} of each",
        )
    return str(rows), str(columns)


def _counted(environment: Mapping[str, str] | None) -> list[str]:
    pairs = [f"{key}={value}" for key, value in (environment or {}).items()]
    return [str(len(pairs)), *pairs]


def _strings(*texts: str) -> bytes:
    for text in texts:
        if "\0" in text:
            raise BranchpointError(f"a command may not contain a NUL character: {text!r}")
    return b"".join(text.encode() + b"\0" for text in texts)


def _padded(length: int) -> int:
    return -(-length // 8) * 8


def _pieces(position: int, length: int, size: int) -> list[tuple[int, int]]:
    """Offset in the ring and length of each contiguous piece of that stretch."""
    start = position % size
    first = min(length, size - start)
    return [piece for piece in ((start, first), (0, length - first)) if piece[1]]
