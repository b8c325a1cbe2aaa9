"""Network traffic of a container, captured at any moment, as a table or as a pcap file.

Capturing runs a command, so it is done on a temporary branch. tcpdump runs in the guest, not in the
container, so it survives the container's exit and sees it start again.

The times of packets are those of the guest's wall clock. It is virtual time plus a constant of the
boot, but it may run faster or slower by a millionth (see guest/boot.py), and programs in the guest
may set it. So both clocks are compared before and after each capture: the agent reads both at once.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import shlex
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, overload

import dpkt

from branchpoint import showing
from branchpoint.clock import SECOND, format_vtime
from branchpoint.errors import BranchpointError
from branchpoint.events import tables
from branchpoint.events.event import Event
from branchpoint.events.queries import Where
from branchpoint.guest import wire
from branchpoint.timeline import containers
from branchpoint.timeline.capture import dissecting
from branchpoint.timeline.commands.files import branch_aside, has_ended, write_here
from branchpoint.timeline.moment import duration
from branchpoint.timeline.replaying.history import COMMAND

if TYPE_CHECKING:
    import pandas as pd

    from branchpoint.timeline.branch import Branch
    from branchpoint.timeline.commands.process import Process
    from branchpoint.timeline.moment import Moment

_START_TIME = 10 * SECOND  # ns in which tcpdump must be listening, and have ended after a signal
_STEP = 10_000_000  # ns between looks at what it says
_LARGEST = 64 << 20  # bytes of a capture, which is held in memory
# Packets of any size, each handed over at once; room for about 250 that come in a burst.
_TCPDUMP = (
    "tcpdump -i any -p -Z root --immediate-mode -U -s 65600 -B 16384 --time-stamp-precision=nano"
)
_SIGINT = 2
_LISTENING = b"listening on"
_TIME = Where(type="clock.read") | Where(type="error", fields={"about": "agent"})
_INACCURACY = 1e-5  # of a clock's rate: ten times what Linux may get wrong when it calibrates
_SET = 1_000_000  # ns; a clock that is off by more was set by somebody

_FILE_HEADER = struct.Struct("<IHHiIII")
_NANOSECONDS = 0xA1B23C4D  # magic of a file whose times are in ns
_COOKED = 276  # LINKTYPE_LINUX_SLL2: the interface "any"
_RECORD = struct.Struct("<IIII")
_FLAGS = ("FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR")  # from the lowest bit on
_PROTOCOLS = {1: "ICMP", 2: "IGMP", 6: "TCP", 17: "UDP", 58: "ICMPv6", 132: "SCTP"}
_SHOWN = 12  # packets in a printed table
_PREVIEW = 32  # bytes of payload in it


@dataclass(frozen=True)
class Packet:
    """One packet. ``run.at(packet)`` is the moment at which it was seen."""

    at: int
    """Absolute ns: since the machine was switched on."""
    vtime: float
    """Seconds of virtual time since set-up was complete."""
    source: str = ""
    """An IP address; a hardware address when the packet is not IP."""
    source_port: int | None = None
    destination: str = ""
    destination_port: int | None = None
    protocol: str = ""
    """TCP, UDP, ICMP, ARP, ...; a number when it is none of the common ones."""
    length: int = 0
    """Bytes on the wire, from the IP header on."""
    flags: str = ""
    """Of TCP, such as "SYN ACK"."""
    payload: bytes = b""
    """What the transport protocol (TCP, UDP, ...) carries."""

    @property
    def sender(self) -> str:
        """Address and port, as in "10.89.5.61:7400"."""
        return _place(self.source, self.source_port)

    @property
    def receiver(self) -> str:
        """Address and port."""
        return _place(self.destination, self.destination_port)

    def preview(self, count: int) -> str:
        """The first bytes of the payload as ASCII, with a dot for each other byte."""
        return "".join(chr(b) if 32 <= b < 127 else "." for b in self.payload[:count])


class Clock(NamedTuple):
    """Converts times of the guest's wall clock (ns since 1970) to absolute ns."""

    wall: int
    at: int
    """Absolute ns when it showed ``wall``."""
    rate: float
    """Absolute ns that pass while it counts one ns."""

    def absolute(self, wall: int) -> int:
        """Absolute ns when it showed, or would have shown, ``wall``."""
        return self.at + round((wall - self.wall) * self.rate)


class Packets(Sequence[Packet]):
    """Captured packets, in the order in which they were seen."""

    def __init__(
        self,
        pcap: bytes,
        clock: Clock,
        origin: int,
        notes: Sequence[str] = (),
        moment_of: Callable[[int], Any] | None = None,
    ) -> None:
        """``moment_of`` makes a moment of absolute ns, where that can be visited."""
        self.pcap = pcap
        """The bytes of a pcap file, with times of the guest's wall clock."""
        self.notes = list(notes)
        """What is missing: packets that were dropped, an early end."""
        self.clock = clock
        """Converts times in the file to absolute ns."""
        self.origin = origin
        """Absolute ns of vtime 0."""
        self.moment_of = moment_of
        self._decoded: dict[int, Packet] = {}

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write a pcap file, for Wireshark and similar programs.

        :raises BranchpointError: when it cannot be written.
        """
        return write_here(path, self.pcap)

    @cached_property
    def _stored(self) -> list[tuple[int, int, bytes]]:
        return list(_records(self.pcap))

    def _packet(self, number: int) -> Packet:
        """Decode one packet. It is done on demand: few packets of a large capture are looked at."""
        found = self._decoded.get(number)
        if found is None:
            time, length, data = self._stored[number]
            found = _decode(self.clock.absolute(time), self.origin, length, data)
            self._decoded[number] = found
        return found

    def raw(self, number: int) -> bytes:
        """The bytes of one packet as captured, from the IP header on."""
        return self._stored[range(len(self))[number]][2][dpkt.sll2.SLL2.__hdr_len__ :]

    def alone(self, number: int) -> bytes:
        """A pcap file with one packet."""
        time, length, data = self._stored[range(len(self))[number]]
        record = _RECORD.pack(*divmod(time, SECOND), len(data), length)
        return self.pcap[: _FILE_HEADER.size] + record + data

    def dissect(self, number: int) -> str:
        """All that Wireshark's tshark decodes in one packet.

        tshark is a large program, and the packets come from programs that you may not trust. So it
        only runs when you call this.

        :raises BranchpointError: when there is no tshark, or it fails.
        """
        return dissecting.dissect(self.alone(number))

    def explore(self, text: str = "") -> Any:
        """The packets as a table to scroll and search in, for a notebook; the packet that you
        choose is shown in hex and ASCII. ``text`` is the first search text.
        """
        return showing.show("packets", self, text=text)

    def __len__(self) -> int:
        return len(self._stored)

    def __iter__(self) -> Iterator[Packet]:
        return map(self._packet, range(len(self)))

    @overload
    def __getitem__(self, which: int) -> Packet: ...
    @overload
    def __getitem__(self, which: slice) -> Sequence[Packet]: ...
    def __getitem__(self, which: int | slice) -> Packet | Sequence[Packet]:
        numbers = range(len(self))[which]
        return self._packet(numbers) if isinstance(numbers, int) else [*map(self._packet, numbers)]

    def frame(self) -> pd.DataFrame:
        """A DataFrame with a row for each packet; columns as :class:`Packet`, without ``at``."""
        import pandas as pd

        names = [name for name in Packet.__dataclass_fields__ if name != "at"]
        table = pd.DataFrame(
            {name: [getattr(packet, name) for packet in self] for name in names}, columns=names
        )
        ports = {"source_port": "Int64", "destination_port": "Int64"}
        return table.astype({"vtime": float, "length": int, **ports})

    def _rows(self) -> list[tuple[str, ...]]:
        rows: list[tuple[str, ...]] = [
            ("vtime", "source", "destination", "protocol", "flags", "length", "payload")
        ]
        for p in self[:_SHOWN]:
            rows.append(
                (
                    f"{p.vtime:.6f}",
                    p.sender,
                    p.receiver,
                    p.protocol,
                    p.flags,
                    str(p.length),
                    p.preview(_PREVIEW),
                )
            )
        return rows

    def _remarks(self) -> list[str]:
        count = f"{len(self)} packet{'' if len(self) == 1 else 's'}"
        more = f", the first {_SHOWN} shown; .frame() has all" if len(self) > _SHOWN else ""
        return [count + more, *self.notes]

    def __repr__(self) -> str:
        rows = self._rows()
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        return "\n".join([*(lines if len(rows) > 1 else []), *self._remarks()])

    def _repr_html_(self) -> str:
        head, *rows = self._rows()
        remarks = "<br>".join(escape(remark) for remark in self._remarks())
        table = tables.html(head, rows, verbatim="payload")
        return f"{table if rows else ''}<small>{remarks}</small>"


# -- capturing


def capture(moment: Moment, container: str, time: Any, filter: str = "") -> Packets:
    """The packets that a container sends and receives in ``time`` virtual seconds after a moment.

    ``filter`` is in tcpdump's language: ``"tcp and host 10.89.5.61"``. All interfaces count, the
    loopback too. The capture begins about 20 virtual milliseconds after the moment, when tcpdump
    listens. In the guest itself (no container) it sees what all containers send, each packet once
    per interface by which it arrives.

    :raises BranchpointError: when tcpdump does not understand the filter, or does not start.
    """
    span = duration(time, {})
    branch = branch_aside(moment)
    name = str(container) and containers.find(moment.run.manifest.containers, container).name
    tcpdump = f"nsenter --net=/run/netns/{name} {_TCPDUMP}" if name else f"{_TCPDUMP} -Q in"
    begin = _look(branch)
    process = branch.run_command(f"exec {tcpdump} -w - -- {shlex.quote(filter)}", raw=True)
    _play(process, _START_TIME, _LISTENING)
    if _LISTENING not in process.raw("err") or process.exit_code:
        why = process.raw("err").decode(errors="replace").replace("tcpdump: ", "").strip()
        raise BranchpointError(
            f"tcpdump cannot capture {filter or 'packets'!r} in {name or 'the guest'} at "
            f"{moment.id}: {why[:500] or 'it does not start'}",
            'a filter looks like "tcp port 7400 and host 10.89.5.61"' if filter else "",
        )
    notes = _let_pass(process, span)
    if process.running:
        process.kill(_SIGINT)
        _play(process, _START_TIME)
    notes += _losses(process)
    end = _look(branch)
    passed, counted = end.at - begin.at, end.wall - begin.wall
    if counted > 0 and abs(counted - passed) <= _SET + passed * _INACCURACY:
        end = end._replace(rate=passed / counted)
    else:
        notes.append(
            "the guest's wall clock was set meanwhile: only later packets have the right vtime"
        )
    recorded = moment._history.parent is None
    moment_of = moment.run.at_ns if recorded else None  # a branch has not been played there yet
    return Packets(process.raw(), end, moment.run.origin, notes, moment_of)


def _play(process: Process, limit: int, text: bytes | None = None, most: int = 2**62) -> None:
    """Let ``limit`` (ns) pass; less if it exits, says ``text``, or has written ``most`` bytes."""
    history = process.branch._history
    streams = history.raw.setdefault(process.number, {})

    def enough(new: list[Event]) -> bool:
        said = text is not None and text in streams.get("err", b"")
        return said or len(streams.get("out", b"")) > most or has_ended(process, new)

    process.branch.run.replayer.play(history, history.tip.at + limit, enough, _STEP)


def _let_pass(process: Process, span: int) -> list[str]:
    """Capture for ``span`` ns; returns what ended it early, if anything did."""
    begin = process.branch.end.at
    if span:
        _play(process, span, most=_LARGEST)
    passed = process.branch.end.at - begin
    if passed >= span and not process.exit_code:
        return []
    why = f"reached {_LARGEST >> 20} MiB" if process.running else "tcpdump ended"
    return [f"the capture ended after {format_vtime(passed)} virtual seconds: {why}"]


def _losses(process: Process) -> list[str]:
    """Such as "3 packets dropped by kernel", from what tcpdump says at its end."""
    lines = process.raw("err").decode(errors="replace").splitlines()
    return [
        line[:100]
        for line in lines
        if line.endswith(("dropped by kernel", "dropped by interface")) and line[:2] != "0 "
    ]


def _look(branch: Branch) -> Clock:
    """What the guest's wall clock shows now.

    :raises BranchpointError: when the guest cannot tell the time.
    """
    branch._place(COMMAND, wire.clock(), "look at the clock")
    told = branch.wait_until(_TIME, _START_TIME / SECOND)
    if told is None or told.type == "error":
        raise BranchpointError(
            f"the guest does not tell the time at {branch.id}{f': {told.text}' if told else ''}",
            "its guest is from an older version: record the system again to capture packets",
        )
    return Clock(told.number("wall"), told.number("at"), 1)


# -- decoding: the bytes are untrusted, and anything is possible in them


def _records(pcap: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Time (ns since 1970), length on the wire and bytes of each packet of a pcap file.

    It ends where the bytes end or make no sense.
    """
    if len(pcap) < _FILE_HEADER.size:
        return
    magic, _, _, _, _, _, link = _FILE_HEADER.unpack_from(pcap)
    if magic != _NANOSECONDS or link & 0xFFFF != _COOKED:
        return
    position = _FILE_HEADER.size
    while position + _RECORD.size <= len(pcap):
        seconds, nanos, kept, length = _RECORD.unpack_from(pcap, position)
        position += _RECORD.size
        if position + kept > len(pcap):
            return
        yield seconds * SECOND + nanos, length, pcap[position : position + kept]
        position += kept


def _decode(at: int, origin: int, length: int, data: bytes) -> Packet:
    known: dict[str, Any] = {
        "at": at,
        "vtime": (at - origin) / SECOND,
        "length": max(length - dpkt.sll2.SLL2.__hdr_len__, 0),
        "payload": data[dpkt.sll2.SLL2.__hdr_len__ :],
    }
    # dpkt raises errors of any type on a malformed packet. What is known by then is kept.
    with contextlib.suppress(Exception):
        cooked = dpkt.sll2.SLL2(data)
        known["source"] = cooked.hdr[: min(cooked.hlen, 8)].hex(":")
        known["protocol"] = f"ethertype {cooked.ethtype:#06x}"
        known.update(_network(cooked.data))
    return Packet(**known)


def _network(layer: Any) -> dict[str, Any]:
    """What is known from the part of a packet after the link header."""
    if isinstance(layer, dpkt.arp.ARP):
        return {
            "source": str(ipaddress.ip_address(layer.spa)),
            "destination": str(ipaddress.ip_address(layer.tpa)),
            "protocol": "ARP",
        }
    if not isinstance(layer, dpkt.ip.IP | dpkt.ip6.IP6):
        return {}
    upper = layer.data
    number = layer.p
    known: dict[str, Any] = {
        "source": str(ipaddress.ip_address(layer.src)),
        "destination": str(ipaddress.ip_address(layer.dst)),
        "protocol": _PROTOCOLS.get(number, f"IP protocol {number}"),
    }
    if isinstance(upper, dpkt.tcp.TCP | dpkt.udp.UDP):
        known |= {"source_port": upper.sport, "destination_port": upper.dport}
    known["payload"] = bytes(upper.data if "source_port" in known else upper)
    if isinstance(upper, dpkt.tcp.TCP):
        known["flags"] = " ".join(name for bit, name in enumerate(_FLAGS) if upper.flags >> bit & 1)
    return known


def _place(address: str, port: int | None) -> str:
    if port is None:
        return address
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
