"""Captures of packets as tcpdump writes them, made by hand."""

from __future__ import annotations

import struct

from recordings import ORIGIN, SECOND

from branchpoint.timeline.capture.packets import Clock, Packets

WALL = 1_764_367_065_000_000_000
CLOCK = Clock(WALL, ORIGIN, 1.0)
_COOKED = struct.pack(">HHIHBB8s", 0x800, 0, 2, 1, 0, 6, bytes(8))
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16


def segment(payload: bytes = b"", *, flags: int = PSH | ACK, port: int = 40_000) -> bytes:
    """A TCP segment from 10.0.0.1:port to 10.0.0.2:80, with its IP header."""
    tcp = struct.pack(">HHIIBBHHH", port, 80, 1, 1, 5 << 4, flags, 512, 0, 0) + payload
    addresses = bytes((10, 0, 0, 1)) + bytes((10, 0, 0, 2))
    length = 20 + len(tcp)
    return struct.pack(">BBHHHBBH", 0x45, 0, length, 1, 0, 64, 6, 0) + addresses + tcp


def pcap(*packets: bytes) -> bytes:
    """A pcap file of packets that begin with their IP headers, one per virtual second from 1 on."""
    data = struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65_600, 276)
    for number, packet in enumerate(packets, 1):
        whole = _COOKED + packet
        seconds, rest = divmod(WALL + number * SECOND, SECOND)
        data += struct.pack("<IIII", seconds, rest, len(whole), len(whole)) + whole
    return data


def captured(*packets: bytes, **options: object) -> Packets:
    """The same packets, decoded."""
    return Packets(pcap(*packets), CLOCK, ORIGIN, **options)  # type: ignore[arg-type]
