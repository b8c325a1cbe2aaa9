"""The demo system's own parts: S-expressions, frames, the ring buffer, snapshots, the services.

Here the services run as plain processes on the loopback interface. The tests of the machine run
them in containers and under faults.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).parents[3] / "notebooks" / "systems" / "aria"
sys.path.insert(0, str(ROOT / "lib"))

from aria import frames, sexp, snapshot, times, wire  # noqa: E402
from aria.ring import RingBuffer  # noqa: E402
from aria.streamfile import StreamFile  # noqa: E402

SNAPSHOT = '(snapshot (metadata (core_stream_length 315567) (stream_time "a b")) (publishers))'


# --- S-expressions --------------------------------------------------------------------------------

symbols = st.from_regex(r"[a-z_][a-z0-9_.-]*", fullmatch=True).map(sexp.Symbol)
expressions = st.recursive(
    st.integers() | symbols | st.text(),
    lambda inner: st.lists(inner, max_size=5),
    max_leaves=20,
)


@given(expressions)
def test_an_expression_survives_being_written_and_read(value: object) -> None:
    again = sexp.load(sexp.dump(value))
    assert again == value
    assert sexp.dump(again) == sexp.dump(value)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".snapshot.metadata.core_stream_length", 315567),
        (".snapshot.metadata.stream_time", "a b"),
        (".snapshot.publishers", [sexp.Symbol("publishers")]),
    ],
)
def test_get_follows_the_names_of_lists(path: str, found: object) -> None:
    assert sexp.get(sexp.load(SNAPSHOT), path) == found


@pytest.mark.parametrize("text", ["", "(", ")", "(a))", '("a', "a b"])
def test_what_is_no_expression_is_refused(text: str) -> None:
    with pytest.raises(sexp.SexpError):
        sexp.load(text)


@pytest.mark.parametrize("path", ["snapshot", ".snapshot.nothing", ".metadata", "."])
def test_a_path_that_leads_nowhere_is_refused(path: str) -> None:
    with pytest.raises(sexp.SexpError):
        sexp.get(sexp.load(SNAPSHOT), path)


# --- times ----------------------------------------------------------------------------------------


def test_an_instant_counts_from_its_own_zone() -> None:
    ns = times.parse("2025-11-28T16:59:51.362900555-05:00")
    assert times.show(ns) == "2025-11-28T21:59:51.362900555Z"
    assert ns == times.parse("2025-11-29T03:29:51.362900555+05:30")


@given(st.integers(0, 2**62))
def test_an_instant_survives_being_written_and_read(ns: int) -> None:
    assert times.parse(times.show(ns)) == ns


@pytest.mark.parametrize("text", ["", "yesterday", "2025-11-28", "2025-11-28T16:59:51", "T+00:00"])
def test_what_is_no_instant_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected an instant"):
        times.parse(text)


# --- messages and frames --------------------------------------------------------------------------


def test_a_request_shows_its_offset_as_eight_little_endian_bytes() -> None:
    data = wire.pack_request(313425, 4096)
    assert data == b"ARIA" + struct.pack("<IQI", wire.REQUEST, 313425, 4096)


def test_messages_are_cut_from_a_buffer_however_they_arrive() -> None:
    data = wire.pack(wire.DATA, 7, b"abc") + wire.pack_request(9, 4096) + wire.pack(wire.HELLO)
    buffer, seen = bytearray(), []
    for byte in data:
        buffer.append(byte)
        while message := wire.take(buffer):
            seen.append((message.op, message.offset, message.length, message.body))
    assert seen == [
        (wire.DATA, 7, 3, b"abc"),
        (wire.REQUEST, 9, 4096, b""),
        (wire.HELLO, 0, 0, b""),
    ]


def test_frames_are_parsed_up_to_the_first_incomplete_one() -> None:
    data = b"".join(frames.Frame(n, n * 10, b"x" * n).encode() for n in range(1, 5))
    found, end = frames.parse(data[:-1])
    assert [(f.sequence, f.time_ns, f.payload) for f in found] == [
        (n, n * 10, b"x" * n) for n in range(1, 4)
    ]
    assert end == sum(frames.HEADER.size + n for n in range(1, 4))


@given(st.integers(0, 8 * (frames.HEADER.size + 5) - 1))
def test_a_flipped_bit_in_a_frame_is_noticed(bit: int) -> None:
    data = bytearray(frames.Frame(1, 2, b"hello").encode())
    data[bit // 8] ^= 1 << bit % 8
    try:
        found, _ = frames.parse(bytes(data) + bytes(frames.MAX_PAYLOAD))
    except frames.CorruptFrame:
        return
    pytest.fail(f"parsed as {found}")


def test_nul_bytes_are_no_frames() -> None:
    with pytest.raises(frames.CorruptFrame):
        frames.parse(bytes(100))


def test_a_stream_file_drops_the_frame_that_its_writer_did_not_finish(tmp_path: Path) -> None:
    whole, cut = (frames.Frame(n, n, b"abc").encode() for n in (1, 2))
    (tmp_path / "core-stream").write_bytes(whole + cut[:-1])
    stream = StreamFile(str(tmp_path / "core-stream"))
    assert stream.length == len(whole)
    stream.append(cut, frames.Frame(2, 2, b"abc"))
    assert stream.read(0, 1000) == whole + cut


# --- the ring buffer ------------------------------------------------------------------------------


@given(st.integers(1, 20), st.lists(st.binary(max_size=50)))
def test_a_ring_filled_from_the_start_gives_back_the_newest_bytes(
    capacity: int, parts: list[bytes]
) -> None:
    ring = RingBuffer(capacity)
    for part in parts:
        ring.append(part)
    stream = b"".join(parts)
    assert ring.end == len(stream)
    for offset in range(len(stream) + 2):
        assert ring.has(offset) == (len(stream) - capacity <= offset <= len(stream))
        if ring.has(offset):
            assert ring.read(offset, 7) == stream[offset : offset + 7]


def test_the_defect_of_the_demo_is_there() -> None:
    """After a restart the ring says that it has bytes which it never got: the bug of the story.

    Whoever fixes this removes the failure from the demo.
    """
    ring = RingBuffer(100, end=1000)
    ring.append(b"new")
    assert ring.has(950)
    assert ring.read(950, 53) == bytes(50) + b"new"
    assert not ring.has(902)


# --- snapshots ------------------------------------------------------------------------------------


def test_the_newest_snapshot_up_to_an_instant_is_found(tmp_path: Path) -> None:
    for second in (10, 20, 30):
        state = snapshot.Snapshot()
        state.core_stream_length, state.sequence = second * 100, second
        state.stream_time_ns = times.parse(f"2025-11-28T21:59:{second}Z")
        state.publishers = {"primary.publisher.1": (second, second * 50)}
        state.save(str(tmp_path))
    text = snapshot.latest(str(tmp_path), times.parse("2025-11-28T21:59:29.999999999Z"))
    assert text is not None
    restored = snapshot.load(text)
    assert restored.core_stream_length == 2000
    assert restored.publishers == {"primary.publisher.1": (20, 1000)}
    assert snapshot.latest(str(tmp_path), 0) is None


# --- the services ---------------------------------------------------------------------------------


class Services:
    """Services on the loopback interface, each in its own directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.ports = {name: _free_port() for name in ("sequencer", "tip-retransmitter", "archive")}

    def start(self, name: str, *options: str) -> subprocess.Popen[bytes]:
        """Start a service; {its name} in an option is replaced by that service's address."""
        addresses = {key: f"127.0.0.1:{port}" for key, port in self.ports.items()}
        listen = [f"--listen={addresses[name]}"] if name in addresses else []
        options = tuple(option.format(**addresses) for option in options)
        with (self.directory / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                self._command(name, *listen, *options), stdout=log, stderr=log
            )
        return self.running[name]

    def start_publishing(self) -> None:
        self.start("sequencer")
        self.start("publisher", "--sequencer={sequencer}", "--messages-per-second=50")

    def kill(self, name: str) -> None:
        self.running[name].kill()
        self.running[name].wait()

    def log(self, name: str) -> str:
        path = self.directory / f"{name}.log"
        return path.read_text() if path.exists() else ""

    def stream(self, name: str) -> bytes:
        path = self.directory / name / "core-stream"
        return path.read_bytes() if path.exists() else b""

    def shell(self, line: str) -> str:
        """Output of a shell command with aria's tools in its PATH."""
        tools = self.directory / "bin"
        tools.mkdir(exist_ok=True)
        for tool in ("aria", "sexp"):
            script = tools / tool
            script.write_text(f'#!/bin/sh\nexec {sys.executable} -SE {ROOT}/bin/{tool} "$@"\n')
            script.chmod(0o755)
        environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}
        done = subprocess.run(
            line, shell=True, env=environment, capture_output=True, text=True, timeout=20
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _command(self, name: str, *options: str) -> list[str]:
        data = [] if name == "publisher" else [f"--data={self.directory / name}"]
        return [sys.executable, "-SE", str(ROOT / "bin" / "aria"), name, *options, *data]


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def _until(condition: Callable[[], object], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    started = Services(tmp_path)
    try:
        yield started
    finally:
        for process in started.running.values():
            process.kill()
            process.wait()


RETRANSMITTER = ("--sequencer={sequencer}", "--snapshot-every=0.3")


def test_a_replicator_keeps_a_copy_through_a_restart_of_the_sequencer(services: Services) -> None:
    services.start_publishing()
    services.start("tip-retransmitter", *RETRANSMITTER)
    services.start("archive", "--sequencer={sequencer}")
    replicator = services.start(
        "replicator", "--server={tip-retransmitter}", "--server={archive}", "--batch-every=0.2"
    )
    _until(lambda: len(services.stream("replicator")) > 5000)
    services.kill("sequencer")
    before = len(services.stream("sequencer"))
    services.start("sequencer")
    _until(lambda: len(services.stream("replicator")) > before + 5000)
    assert replicator.poll() is None
    copy = services.stream("replicator")
    assert services.stream("sequencer").startswith(copy)
    found, end = frames.parse(copy)
    assert end == len(copy)
    assert [frame.sequence for frame in found] == list(range(1, len(found) + 1))


def test_an_archive_alone_serves_a_replicator_from_the_beginning(services: Services) -> None:
    services.start_publishing()
    services.start("archive", "--sequencer={sequencer}")
    services.start(
        "replicator", "--server={tip-retransmitter}", "--server={archive}", "--batch-every=0.2"
    )
    _until(lambda: len(services.stream("replicator")) > 5000)
    assert "Connection refused" in services.log("replicator")


def test_a_replicator_goes_to_the_archive_for_what_is_older_than_the_tip(
    services: Services,
) -> None:
    old = b"".join(frames.Frame(n, n, bytes(1000)).encode() for n in range(1, 71))  # 70 KB
    (services.directory / "sequencer").mkdir()
    (services.directory / "sequencer" / "core-stream").write_bytes(old)
    services.start("sequencer")
    services.start("tip-retransmitter", *RETRANSMITTER)
    services.start("archive", "--sequencer={sequencer}")
    services.start(
        "replicator", "--server={tip-retransmitter}", "--server={archive}", "--batch-every=0.2"
    )
    _until(lambda: services.stream("replicator") == old)
    assert "tip-retransmitter" in services.log("replicator")
    assert "has no such part of the core stream" in services.log("replicator")


def test_a_replicator_behind_a_restored_snapshot_crashes_and_the_snapshot_says_why(
    services: Services,
) -> None:
    """The whole story, forced: kill after a snapshot that the replicator has not caught up with."""
    services.start_publishing()
    services.start("tip-retransmitter", *RETRANSMITTER)
    _until(lambda: "written" in services.log("tip-retransmitter"))
    replicator = services.start("replicator", "--server={tip-retransmitter}", "--batch-every=0.2")
    _until(lambda: len(services.stream("replicator")) > 0)
    replicator.send_signal(signal.SIGSTOP)  # it falls behind
    offset = len(services.stream("replicator"))
    count = services.log("tip-retransmitter").count("written")
    _until(lambda: services.log("tip-retransmitter").count("written") > count + 1)
    services.kill("tip-retransmitter")
    services.start("tip-retransmitter", "--sequencer={sequencer}", "--snapshot-every=60")
    _until(lambda: services.log("tip-retransmitter").count("listening") == 2)
    replicator.send_signal(signal.SIGCONT)
    assert replicator.wait(timeout=15) == 1
    assert "CorruptFrame" in services.log("replicator")
    data = services.directory / "tip-retransmitter"
    length = services.shell(
        "aria admin get-latest-snapshot -max-stream-time '2099-11-28T16:59:51.362900555-05:00' "
        f"--data={data} | sexp get '.snapshot.metadata.core_stream_length'"
    )
    assert int(length) > len(services.stream("replicator")) >= offset


@pytest.mark.parametrize(
    "arguments",
    [
        ["dance"],
        ["sequencer"],
        ["sequencer", "--listen=nowhere"],
        ["replicator", "--server=a:1", "--batch-every=often"],
        ["publisher", "--sequencer=a:1", "--messages-per-second=1", "--colour=red"],
        ["admin", "make-coffee"],
        ["admin", "get-latest-snapshot", "-max-stream-time", "noon"],
    ],
)
def test_a_wrong_command_line_is_told_so(arguments: list[str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-SE", str(ROOT / "bin" / "aria"), *arguments, f"--data={tmp_path}"],
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("aria: ")
    assert "Traceback" not in done.stderr
