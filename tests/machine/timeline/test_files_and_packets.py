"""Files and packets from a running system, and that looking at them changes nothing."""

from __future__ import annotations

import io
import random
import struct
import tarfile
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import dpkt
import pytest
from hypothesis import given
from hypothesis import strategies as st

import branchpoint as bp
from branchpoint.errors import BranchpointError, ContainerError
from branchpoint.guest.compiler import static_program
from branchpoint.machine.computer import EPOCH
from branchpoint.notebook.session import Environment
from branchpoint.timeline.capture import packets
from branchpoint.timeline.capture.packets import Clock, Packets

REPLICATOR = "standby.replicator.1"
TOOLS = "/dev/branchpoint/tools/bin"
REQUEST = struct.Struct("<4sIQI")  # magic, operation, offset, length


def digest(moment: bp.Moment) -> str:
    """A digest of all memory, registers and the clock of the machine at a moment."""
    replayer = moment.run.replayer
    with replayer.lock:
        player = replayer.bring(moment._history, moment._point)
        return player.computer.capture_afresh().digest(replayer.pool)


def sum_inside(branch: bp.Branch, path: str, container: str) -> str:
    """The SHA-256 of a file, computed in the machine."""
    done = bp.bash(f"{TOOLS}/sha256sum {path}").run(branch, container)
    return done.output.split()[0]


# -- files


def test_large_file_is_the_same_byte_for_byte(small: bp.Recording, tmp_path: Path) -> None:
    branch = small.at(1).branch()
    made = f"{TOOLS}/seq 1 9999999 | {TOOLS}/head -c 20000000 > /large"
    assert bp.bash(made).run(branch, "client").exit_code == 0
    data = branch.extract_file("/large", "client", save=tmp_path / "large")
    assert len(data) == 20_000_000
    assert sha256(data).hexdigest() == sum_inside(branch, "/large", "client.1")
    assert (tmp_path / "large").read_bytes() == data


def test_injected_file_arrives_whole(small: bp.Recording) -> None:
    branch = small.at(1).branch()
    data = random.Random(3).randbytes(3_000_000)
    branch.inject_file("/srv/new", data, "server", mode=0o750)
    assert sum_inside(branch, "/srv/new", "server") == sha256(data).hexdigest()
    assert branch.extract_file("/srv/new", "server") == data
    asked = bp.bash("busybox stat -c %a,%s /srv/new").run(branch, "server")
    assert asked.output == "750,3000000\n"
    with pytest.raises(ContainerError, match="No such file"):
        small.at(1).extract_file("/srv/new", "server")


def test_files_of_dead_containers_and_of_the_guest(small: bp.Recording) -> None:
    moment = small.at(2)
    assert moment.containers()["job.1"].state == "exited"
    assert moment.extract_file("/result", "job.1") == b"done\n"
    branch = moment.branch()
    branch.control("kill", "server", "9")
    branch.wait(0.1)
    assert branch.containers()["server"].state == "exited"
    assert branch.extract_file(Path("/srv/greeting"), "server") == b"hello from the server\n"
    assert moment.extract_file("/proc/version").startswith(b"Linux version ")
    assert moment.extract_file("/etc/hostname", "server") == b"server-1\n"
    environment = Environment(small)
    path, container = "/result", "job"
    assert environment.extract_file({moment, path, container}) == b"done\n"


@pytest.mark.parametrize(
    ("path", "container", "why"),
    [
        ("/no such", "server", "/no such in server.1 at main@2.000 .*: No such file or directory"),
        ("/srv", "server", "Is a directory.*\n.*extract_tree"),
        ("/srv/greeting/x", "server", "Not a directory"),
        ("/dev/zero", "client", "not a regular file"),
        ("/nope", "job.1", "/nope in job.1 at"),
        ("/nope", "", "/nope in the guest at"),
        ("srv", "server", "not an absolute path"),
        ("/x\0", "server", "NUL"),
        ("/x", "nobody", "no container 'nobody'"),
    ],
)
def test_what_cannot_be_extracted(small: bp.Recording, path: str, container: str, why: str) -> None:
    with pytest.raises(BranchpointError, match=f"(?s){why}"):
        small.at(2).extract_file(path, container)


def test_file_is_read_as_it_was_at_the_moment(small: bp.Recording) -> None:
    """The writer never stops, but the file must be read as of one instant."""
    branch = small.at(1).branch()
    writer = 'while :; do i=$((i+1)); busybox yes "line $i" | busybox head -c 5000000 > /torn; done'
    bp.bash(writer).run_in_background(branch, "client")
    branch.wait(1.2)
    data = branch.extract_file("/torn", "client")
    assert len(data) > 10_000
    assert len(set(data.split(b"\n")[:-1])) == 1


def test_tree(small: bp.Recording, tmp_path: Path) -> None:
    branch = small.at(2).branch()
    branch.inject_file("/srv/it's a name", b"x", "server")
    target = tmp_path / "srv.tar"
    data = branch.extract_tree("/srv", "server", save=target)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert archive.getnames() == [".", "./greeting", "./it's a name"]
        found = archive.extractfile("./greeting")
        assert found is not None
        assert found.read() == b"hello from the server\n"
    assert target.read_bytes() == data
    with pytest.raises(ContainerError, match="not a directory"):
        branch.extract_tree("/etc/hosts", "server")
    with pytest.raises(BranchpointError, match="cannot be written: No such file"):
        branch.extract_file("/etc/hosts", "server", save=tmp_path / "no" / "file")


# -- nothing is changed by looking


def test_looking_changes_nothing(small: bp.Recording) -> None:
    def act() -> bp.Branch:
        branch = small.at(1.5).branch()
        bp.bash("echo acted > /acted").run(branch, "client")
        return branch.wait(0.3)

    branch, twin = act(), act()
    before = digest(branch.end), list(branch.events), list(small.events)
    known = dict(small.files.futures)
    first = branch.extract_file("/acted", "client"), branch.extract_pcap("server", 0.7).pcap
    again = branch.extract_file("/acted", "client"), branch.extract_pcap("server", 0.7).pcap
    assert first == again
    small.at(3.3).extract_pcap("client", 0.2)
    small.at(3.3).extract_tree("/srv", "server")
    assert (digest(branch.end), list(branch.events), list(small.events)) == before
    assert digest(twin.end) == before[0]
    assert small.files.futures == known
    # What comes later is also the same, in the branch and in the recording.
    branch.wait(1)
    twin.wait(1)
    assert list(branch.events) == list(twin.events)
    assert digest(branch.end) == digest(twin.end)
    replay = small.at(3.3).branch().wait(1)
    assert list(replay.events) == list(small.events.up_to(4.3))


# -- packets


def said(run: bp.Recording, **when: float) -> list[bp.Event]:
    """The lines of the client, which writes one directly after each answer."""
    return list(run.events.where(container="client.1", type="log", **when))


def test_packets_of_a_request(small: bp.Recording, tmp_path: Path) -> None:
    # Between two requests, which come every 0.25 s: tcpdump also takes time to start.
    moment = small.at(said(small, start=2)[0].vtime + 0.05)
    packets = moment.extract_pcap("client.1", 1, "tcp port 8080")
    assert packets.notes == []
    frame = packets.frame()
    assert list(frame.columns) == [
        "vtime", "source", "source_port", "destination", "destination_port", "protocol",
        "length", "flags", "payload",
    ]  # fmt: skip
    assert len(frame) == len(packets) == len(list(packets))
    assert set(frame.protocol) == {"TCP"}
    assert frame.vtime.is_monotonic_increasing
    assert frame.vtime.between(moment.vtime, moment.vtime + 1.1).all()
    asked = [p for p in packets if p.payload.startswith(b"GET /greeting ")]
    answered = [p for p in packets if b"hello from the server" in p.payload]
    lines = said(small, start=packets[0].vtime, end=packets[-1].vtime + 0.001)
    assert len(asked) == len(answered) == len(lines) > 1
    assert (asked[0].destination_port, answered[0].source_port) == (8080, 8080)
    assert packets[0].flags == "SYN"
    assert packets[1].flags == "SYN ACK"
    # The capture shifts all this a little.
    for line, answer in zip(lines, answered, strict=True):
        assert abs(line.vtime - answer.vtime) < 0.01
    assert small.at(answered[0]).at == answered[0].at
    assert "GET /greeting" in repr(packets)
    assert "GET /greeting" in packets._repr_html_()
    with packets.save(tmp_path / "x.pcap").open("rb") as file:
        reader: Any = dpkt.pcap.Reader(file)
        assert len(list(reader)) == len(packets)


def test_packets_of_the_guest_and_of_none(small: bp.Recording) -> None:
    moment = small.at(2.1)
    everything = moment.extract_pcap("", 0.5, "tcp")
    server = moment.extract_pcap("server", 0.5, "tcp")
    assert [p.payload for p in everything] == [p.payload for p in server]
    nothing = moment.extract_pcap("job", 0.5, "udp")
    assert len(nothing) == 0
    assert repr(nothing) == "0 packets"
    assert nothing.frame().empty
    assert "0 packets" in nothing._repr_html_()


def test_capture_survives_the_container(small: bp.Recording) -> None:
    branch = small.at(2).branch()
    branch.control("kill", "client", "9")
    packets = branch.extract_pcap("client", 1.5, "tcp[tcpflags] & tcp-syn != 0")
    assert packets.notes == []
    assert any(p.vtime > 2.5 for p in packets)
    assert branch.containers()["client"].state == "running"  # in the branch it is still to come


def test_what_cannot_be_captured(small: bp.Recording) -> None:
    moment = small.at(2)
    with pytest.raises(BranchpointError, match=r"'port x' in server\.1 at \S+: \S"):
        moment.extract_pcap("server", 1, "port x")
    with pytest.raises(BranchpointError, match=r"'-w /tmp/x' in server\.1 at \S+: \S"):
        moment.extract_pcap("server", 1, "-w /tmp/x")
    with pytest.raises(ContainerError, match="nobody"):
        moment.extract_pcap("nobody", 1)
    with pytest.raises(BranchpointError, match="not a length of time"):
        moment.extract_pcap("server", "soon")


def test_a_capture_that_ends_early_says_so(
    small: bp.Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    branch = small.at(0.1).branch()
    bp.bash("sleep 0.7; pkill tcpdump").run_in_background(branch)
    ended = branch.extract_pcap("client", 2)
    assert ended.notes[0].endswith(" virtual seconds: tcpdump ended")
    assert len(ended) > 0 and ended[-1].vtime < branch.vtime + 0.75
    assert len(ended.notes) == 1, "its own counts are known all the same"
    whole = branch.extract_pcap("client", 1)
    monkeypatch.setattr(packets, "_LARGEST", len(whole.pcap) // 2)
    large = branch.extract_pcap("client", 1)
    assert large.notes[0].endswith(" virtual seconds: reached 0 MiB")
    assert 0 < len(large) < len(whole)


CLOCKS = """
#include <stdio.h>
#include <time.h>
#include <x86intrin.h>
int main(void)
{
    for (int i = 0; i < 5; i++) {
        struct timespec wall;
        unsigned long before = __rdtsc();
        clock_gettime(CLOCK_REALTIME, &wall);
        unsigned long after = __rdtsc();
        printf("%lu %lu %ld%09ld\\n", before, after, wall.tv_sec, wall.tv_nsec);
    }
}
"""


def test_packets_are_dated_right(small: bp.Recording, tmp_path: Path) -> None:
    """Compared with a program that reads the wall clock and the time stamp counter (absolute ns).

    The two agree to a millionth (see guest/boot.py), until somebody sets the wall clock.
    """
    (tmp_path / "clocks.c").write_text(CLOCKS)
    (tmp_path / "clocks").write_bytes(static_program([tmp_path / "clocks.c"]))

    def look(branch: bp.Branch) -> tuple[int, int]:
        branch.inject_file("/tmp/clocks", tmp_path / "clocks", mode=0o755)
        last = bp.bash("/tmp/clocks").run(branch).output.splitlines()[-1]
        before, after, wall = map(int, last.split())
        assert after - before < 1000
        return (before + after) // 2, wall

    def check(branch: bp.Branch, seconds: float) -> Packets:
        packets = branch.extract_pcap("client", seconds)
        ends = look(branch), look(branch.end.branch().wait(seconds))
        for at, wall in ends:
            assert abs(packets.clock.absolute(wall) - at) < 300
        return packets

    branch = small.at(0.1).branch()
    assert check(branch, 0.1).notes == []
    assert check(branch, 5).notes == []  # a millionth of it is 17 times what is allowed
    at, wall = look(branch)
    epoch = int(datetime.fromisoformat(EPOCH).replace(tzinfo=UTC).timestamp()) * 1_000_000_000
    assert 0 <= wall - at - epoch < 1_000_000_000
    bp.bash("date -s '2031-01-01 00:00'").run(branch)
    assert look(branch)[1] - wall > 5 * 365 * 86_400 * 10**9
    assert check(branch, 0.1).notes == []
    bp.bash("sleep 0.5; date -s '2032-01-01'").run_in_background(branch)
    packets = branch.extract_pcap("client", 2)
    assert "wall clock was set" in packets.notes[0]
    assert branch.vtime + 1 < packets[-1].vtime < branch.vtime + 3


def pcap(*packets: bytes) -> bytes:
    head = struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65600, 276)
    return head + b"".join(struct.pack("<IIII", 1, 2, len(p), len(p)) + p for p in packets)


CLOCK = Clock(1_764_367_065_000_000_000, 0, 1.000001)
COOKED_IP = struct.pack(">HHIHBB8s", 0x800, 0, 2, 1, 0, 6, bytes(8))


@given(
    st.binary(max_size=200),
    st.lists(
        st.builds(
            lambda link, first, rest: link + first + rest,
            st.sampled_from([b"", COOKED_IP, COOKED_IP[:-10], b"\x86\xdd" + COOKED_IP[2:]]),
            st.sampled_from([b"", b"\x45\0\0\x80\0\0\0\0\x40\x06\0\0", b"\x60\0\0\0\0\x40\0\x40"]),
            st.binary(max_size=100),
        ),
        max_size=3,
    ),
)
def test_odd_captures_are_no_error(tail: bytes, contents: list[bytes]) -> None:
    """Whatever the guest writes: one row for each packet that can be recognised."""
    packets = Packets(pcap(*contents) + tail, CLOCK, 0)
    assert len(packets) >= len(contents)
    assert len(packets.frame()) == len(packets)
    repr(packets)
    packets._repr_html_()
    for cut in range(0, 60, 7):
        len(Packets(packets.pcap[:cut], CLOCK, 0))


def test_table_shows_no_foreign_markup() -> None:
    udp = struct.pack(">HHHH", 1, 2, 8 + 12, 0) + b"<b>\x1b[31m\xff</b>"
    ip = struct.pack(
        ">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0, b"\1\2\3\4", b"\5\6\7\10"
    )
    packets = Packets(pcap(COOKED_IP + ip + udp), CLOCK, 0)
    assert packets[0].payload == b"<b>\x1b[31m\xff</b>"
    assert (packets[0].source, packets[0].protocol) == ("1.2.3.4", "UDP")
    assert "<b>" not in packets._repr_html_()
    assert "\x1b" not in repr(packets) + packets._repr_html_()


# -- the demo system


@pytest.mark.long
def test_requests_of_the_replicator(aria: bp.Recording) -> None:
    """The replicator's request is in its packets, in the form of the aria protocol."""
    connected = aria.events.where(container=REPLICATOR, text="connected to").first
    assert connected is not None
    moment = aria.at(connected).rewind(seconds=0.2)
    packets = moment.extract_pcap(REPLICATOR, 1, "tcp and host 10.89.5.61")
    assert packets.notes == []
    sent = packets.frame().query("destination == '10.89.5.61' and destination_port == 7400")
    messages = [REQUEST.unpack_from(p) for p in sent.payload if p.startswith(b"ARIA")]
    asked = [(offset, length) for _, operation, offset, length in messages if operation == 3]
    assert asked
    # It asks for what comes after its replica, so the offset is the length of that file.
    replica = moment.extract_file("/var/lib/aria/core-stream", REPLICATOR)
    assert asked[0] == (len(replica), 4096)
    assert asked == sorted(asked)
