"""Captured packets without a browser: rows, search, the bytes of one, and what is saved."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from typing import Any

import pytest
from captures import ACK, CLOCK, RST, SYN, captured, packet6, segment
from recordings import ORIGIN, SECOND

import branchpoint as bp
from branchpoint.timeline.capture.packets import Packets
from branchpoint.views.packets import PacketsView
from branchpoint.views.view import LARGEST, STATIC

PACKETS = (
    segment(flags=SYN),
    segment(b"GET /a HTTP/1.1\r\n"),
    segment(b"\0\xff<b>", port=40_001),
    segment(flags=RST | ACK, port=40_001),
)


def shown(view: PacketsView) -> list[int]:
    return [row[0] for row in view.state["first"]]


@pytest.mark.parametrize(
    ("at", "field"),
    [(0, struct.pack("<I", 0xA1B2C3D4)), (20, struct.pack("<I", 1)), (0, b"")],
    ids=["times in microseconds", "Ethernet", "cut in its head"],
)
def test_a_file_that_tcpdump_would_not_write_here_has_no_packets(at: int, field: bytes) -> None:
    """Read as if it were, its packets would have wrong times and addresses."""
    whole = captured(*PACKETS).pcap
    changed = whole[:at] + field + whole[at + len(field) :] if field else whole[:23]
    assert len(Packets(whole, CLOCK, ORIGIN)) == len(PACKETS)
    assert len(Packets(changed, CLOCK, ORIGIN)) == 0


def test_a_row_tells_what_a_packet_is() -> None:
    rows = captured(*PACKETS).explore().state["first"]
    assert rows[0] == [0, SECOND, "10.0.0.1:40000", "10.0.0.2:80", "TCP", "SYN", 40, ""]
    assert rows[1][5:] == ["PSH ACK", 57, "GET /a HTTP/1.1.."]
    assert rows[2][7] == "..<b>"


def test_rows_of_ipv6() -> None:
    request = segment(b"GET /a")[20:]
    report = bytes((143, 0, 0, 0, 0, 0, 0, 0))  # of the groups that a host listens to
    alert = bytes((58, 0, 5, 2, 0, 0, 1, 0))
    packets = captured(packet6(request, 6), packet6(report, 58, alert), packet6(request[:9], 6))
    rows = packets.explore("fd00::").state["first"]
    assert rows[0][2:] == ["[fd00::1]:40000", "[fd00::2]:80", "TCP", "PSH ACK", 66, "GET /a"]
    assert rows[1][2:] == ["fd00::1", "fd00::2", "ICMPv6", "", 56, "........"]
    assert [row[4] for row in rows] == ["TCP", "ICMPv6", "TCP"]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("", [0, 1, 2, 3]),
        ("get", [1]),
        ("40001", [2, 3]),
        ("rst 40001", [3]),
        ("tcp 10.0.0.2:80 syn", [0]),
        ("udp", []),
    ],
)
def test_packets_are_searched_by_all_that_is_seen(text: str, numbers: list[int]) -> None:
    view = captured(*PACKETS).explore(text)
    assert shown(view) == numbers
    assert shown(captured(*PACKETS).explore().filter(text)) == numbers


def test_a_chosen_packet_gives_its_bytes_and_its_moment() -> None:
    class Moment:
        def __init__(self, at: int) -> None:
            self.at, self.id = at, f"main@{(at - ORIGIN) / SECOND}"

    view = captured(*PACKETS, moment_of=Moment).explore()
    view._on_select({"number": 1})
    assert view.chosen["bytes"] == PACKETS[1]
    assert PACKETS[1][view.chosen["payload"] :] == b"GET /a HTTP/1.1\r\n"
    assert view.chosen["id"] == "main@2.0" and view.moment.at == ORIGIN + 2 * SECOND
    assert view.packet == view.packets[1]
    view._on_select({"number": 99})
    assert view.packet == view.packets[1]
    assert captured(*PACKETS).explore().select(-1).packet.flags == "RST ACK"


def test_a_packet_after_the_recordings_end_has_no_moment() -> None:
    def moment_of(at: int) -> Any:
        raise bp.TimeError("after the end")

    view = captured(*PACKETS, moment_of=moment_of).explore().select(2)
    assert (view.chosen["id"], view.chosen["vtime"]) == ("", "3.000")


def test_a_search_goes_on_where_it_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("branchpoint.views.rows.SLICE", 0)
    packets = captured(*PACKETS * 500)
    view = packets.explore("get")
    assert (view.state["count"], view.state["scanned"]) == (0, 0)
    monkeypatch.setattr("branchpoint.views.rows.SLICE", 60)
    view._on_more({"generation": view.state["generation"]})
    assert (view.state["count"], view.state["scanned"]) == (500, 1)


def test_the_file_comes_as_it_was_captured(monkeypatch: pytest.MonkeyPatch) -> None:
    view = captured(*PACKETS).explore()
    sent: list[Any] = []
    monkeypatch.setattr(view, "send", lambda *message, **rest: sent.append((message, rest)))
    view._on_save({})
    assert sent == [(({"answer": "pcap"},), {"buffers": [view.packets.pcap]})]


# -- tshark


def test_tshark_reads_the_one_packet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "tshark"
    program.write_text('#!/bin/sh\necho "args: $*"\ncat >"$(dirname "$0")/given"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    packets = captured(*PACKETS)
    view = packets.explore().select(1)
    assert view.state["can_dissect"]
    view._on_dissect({})
    assert view.chosen["dissected"] == "args: -n -V -r -\n"
    alone = Packets((tmp_path / "given").read_bytes(), CLOCK, ORIGIN)
    assert list(alone) == [packets[1]]
    program.write_text("#!/bin/sh\necho no >&2\nexit 2\n")
    with pytest.raises(bp.BranchpointError, match="tshark failed: no"):
        packets.dissect(0)


def test_without_tshark_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(bp.BranchpointError, match="tshark is not installed"):
        captured(*PACKETS).dissect(0)
    assert not captured(*PACKETS).explore().state["can_dissect"]


# -- what stays in the notebook


def test_the_saved_table_is_small_and_inert() -> None:
    view = captured(*[segment(b"<script>\x1b" + bytes(1000))] * 300, notes=["3 <b> lost"]).explore()
    static = view._static()
    assert len(json.dumps(static)) < LARGEST
    html = static["text/html"]
    assert STATIC in html and "<script" not in html and "<b>" not in html
    assert "300 packets, the first 30 shown" in html and "3 &lt;b&gt; lost" in html
    assert "\x1b" not in html + static["text/plain"]
