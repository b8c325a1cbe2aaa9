"""Captured packets: a table to scroll and search in, and the bytes of the chosen packet."""

from __future__ import annotations

import time
from typing import Any

import traitlets

from branchpoint.clock import format_vtime
from branchpoint.errors import TimeError
from branchpoint.events import tables
from branchpoint.timeline.capture import dissecting
from branchpoint.timeline.capture.packets import Packet, Packets
from branchpoint.timeline.moment import Moment
from branchpoint.views.rows import SearchView
from branchpoint.views.view import bundle

_BLOCK = 500  # packets that are searched before the time is checked again
_PREVIEW = 120  # bytes of payload in a row
_BYTES = 65_536  # bytes shown of the chosen packet
_STATIC = 30  # rows of the static view
_STATIC_PREVIEW = 48
_TITLES = ("vtime", "source", "destination", "protocol", "flags", "length", "payload")


class PacketsView(SearchView):
    """A table of packets, made by ``packets.explore()``.

    ``view.packet`` is the chosen packet, ``view.moment`` the moment at which it was captured.
    """

    kind = "packets"
    _esm = bundle("packets.js")
    chosen = traitlets.Dict().tag(sync=True)

    def __init__(self, packets: Packets, *, text: str = "") -> None:
        self.packets = packets
        self._number: int | None = None
        super().__init__()
        self._begin(text)

    # -- for Python

    def filter(self, text: str = "") -> PacketsView:
        """Show the packets with ``text`` in an address, port, protocol, flag or payload (as ASCII);
        case is ignored. With several words, each must occur somewhere. Without text: all packets.
        """
        self._begin(text)
        return self

    @property
    def packet(self) -> Packet | None:
        """The packet that was chosen last; None when nothing was chosen."""
        return None if self._number is None else self.packets[self._number]

    @property
    def moment(self) -> Moment | None:
        """The moment at which that packet was captured; None when this is after the end of the
        recording or branch. (A capture runs aside and can go beyond that end.)
        """
        packet, moment_of = self.packet, self.packets.moment_of
        if packet is None or moment_of is None:
            return None
        try:
            found: Moment = moment_of(packet.at)
        except TimeError:
            return None
        return found

    def select(self, number: int) -> PacketsView:
        """Choose a packet by its number, as in ``packets[number]``.

        :raises IndexError: when there is no packet with that number.
        """
        self._choose(range(len(self.packets))[number])
        return self

    # -- what it shows

    def _begin(self, text: str) -> None:
        self._text = text
        self._words = text.lower().split()
        self._numbers: list[int] = []
        self._scanned = 0
        if not self._words:
            self._numbers, self._scanned = [*range(len(self.packets))], len(self.packets)
        self._begin_search()

    def _search(self, seconds: float) -> None:
        stop = time.monotonic() + seconds
        while self._scanned < len(self.packets) and time.monotonic() < stop:
            block = range(self._scanned, min(self._scanned + _BLOCK, len(self.packets)))
            for number in block:
                said = _searched(self.packets[number])
                if all(word in said for word in self._words):
                    self._numbers.append(number)
            self._scanned = block.stop

    def _found(self) -> dict[str, Any]:
        total = len(self.packets)
        return {
            "count": len(self._numbers),
            "total": total,
            "scanned": self._scanned / total if total else 1,
            "text": self._text,
            "notes": self.packets.notes,
            "can_dissect": dissecting.is_possible(),
        }

    def _rows(self, start: int, count: int) -> list[list[Any]]:
        """Rows for the browser: number, ns since vtime 0, then the other columns of the table."""
        rows = []
        for number in self._numbers[start : start + count]:
            p = self.packets[number]
            shown = p.preview(_PREVIEW)
            at = p.at - self.packets.origin
            rows.append([number, at, p.sender, p.receiver, p.protocol, p.flags, p.length, shown])
        return rows

    def _choose(self, number: int) -> None:
        self._number = number
        packet = self.packets[number]
        raw = self.packets.raw(number)
        moment = self.moment
        payload = raw.rfind(packet.payload) if packet.payload else len(raw)
        self.chosen = {
            "number": number,
            "row": self._numbers.index(number) if number in self._numbers else -1,
            "vtime": format_vtime(packet.at - self.packets.origin),
            "id": moment.id if moment is not None else "",
            "bytes": raw[:_BYTES],
            "payload": payload,
            "dissected": "",
        }
        self._tell_chosen()

    # -- requests of the browser

    def _on_filter(self, message: dict[str, Any]) -> None:
        self._begin(str(message["text"]))

    def _on_select(self, message: dict[str, Any]) -> None:
        number = int(message["number"])
        if 0 <= number < len(self.packets):
            self._choose(number)

    def _on_dissect(self, _: dict[str, Any]) -> None:
        if self._number is not None:
            self.chosen = {**self.chosen, "dissected": self.packets.dissect(self._number)}

    def _on_save(self, _: dict[str, Any]) -> None:
        self.send({"answer": "pcap"}, buffers=[self.packets.pcap])

    # -- static

    def _table(self) -> tuple[list[tuple[str, ...]], list[str]]:
        rows: list[tuple[str, ...]] = [
            (
                f"{p.vtime:.6f}", p.sender, p.receiver, p.protocol, p.flags, str(p.length),
                p.preview(_STATIC_PREVIEW),
            )
            for p in (self.packets[number] for number in self._numbers[:_STATIC])
        ]  # fmt: skip
        count = len(self._numbers)
        words = f"{count} packet{'' if count == 1 else 's'}"
        if self._text:
            words += f" with {self._text[:100]!r}"
        if count > _STATIC:
            words += f", the first {_STATIC} shown"
        return rows, [words, *self.packets.notes]

    def _fallback_html(self) -> str:
        rows, remarks = self._table()
        table = tables.html(_TITLES, rows, verbatim="payload") if rows else ""
        return table + "".join(tables.note(remark) for remark in remarks)

    def __repr__(self) -> str:
        rows, remarks = self._table()
        table = [_TITLES, *rows]
        widths = [max(len(row[column]) for row in table) for column in range(len(_TITLES))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in table
        ]
        return "\n".join([*lines, *remarks])


def _searched(packet: Packet) -> str:
    """The text of a packet in which words are searched."""
    parts = (packet.sender, packet.receiver, packet.protocol, packet.flags)
    return " ".join([*parts, packet.preview(len(packet.payload))]).lower()
