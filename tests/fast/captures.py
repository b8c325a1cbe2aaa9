"""Captures of packets as tcpdump writes them, made by hand."""

from __future__ import annotations

import struct

from recordings import ORIGIN, SECOND

from branchpoint.timeline.capture.packets import Clock, Packets

WALL = 1_764_367_065_000_000_000
CLOCK = Clock(WALL, ORIGIN, 1.0)
_IPV4, _IPV6 = 0x800, 0x86DD
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16


def segment(payload: bytes = b"", *, flags: int = PSH | ACK, port: int = 40_000) -> bytes:
    """A TCP segment from 10.0.0.1:port to 10.0.0.2:80, with its IP header."""
    tcp = struct.pack(">HHIIBBHHH", port, 80, 1, 1, 5 << 4, flags, 512, 0, 0) + payload
    addresses = bytes((10, 0, 0, 1)) + bytes((10, 0, 0, 2))
    length = 20 + len(tcp)
    return struct.pack(">BBHHHBBH", 0x45, 0, length, 1, 0, 64, 6, 0) + addresses + tcp


def packet6(payload: bytes, protocol: int, options: bytes = b"") -> bytes:
    """A packet of IPv6 from fd00::1 to fd00::2; ``options`` are for each hop."""
    first = 0 if options else protocol
    head = struct.pack(">IHBB", 6 << 28, len(options + payload), first, 64)
    source, destination = (bytes((0xFD, *[0] * 14, last)) for last in (1, 2))
    return head + source + destination + options + payload


def pcap(*packets: bytes) -> bytes:
    """A pcap file of packets that begin with their IP headers, one per virtual second from 1 on."""
    data = struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65_600, 276)
    for number, packet in enumerate(packets, 1):
        kind = _IPV6 if packet[:1] == b"`" else _IPV4  # it begins with the version
        whole = struct.pack(">HHIHBB8s", kind, 0, 2, 1, 0, 6, bytes(8)) + packet
        seconds, rest = divmod(WALL + number * SECOND, SECOND)
        data += struct.pack("<IIII", seconds, rest, len(whole), len(whole)) + whole
    return data


def captured(*packets: bytes, **options: object) -> Packets:
    """The same packets, decoded."""
    return Packets(pcap(*packets), CLOCK, ORIGIN, **options)  # type: ignore[arg-type]
