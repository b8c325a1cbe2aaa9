"""The host's side of the protocol: what it writes, and how it reads what a guest wrote."""

from __future__ import annotations

import struct

import pytest
from guestwords import frame
from hypothesis import given
from hypothesis import strategies as st

from branchpoint.errors import BranchpointError, MachineError
from branchpoint.guest import wire

NOW = 10**12
instants = st.integers(0, NOW)
commands = st.integers(0, 2**32 - 1).map(lambda number: f"process/{number}")
sources = st.one_of(
    st.sampled_from(["kernel", "agent"]),
    st.from_regex(r"container/[a-z][a-z0-9_.-]{0,30}", fullmatch=True),
    commands,
)
streams = st.sampled_from(["out", "err", "sdk", wire.TTY])
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=60)
events = st.builds(
    wire.Event,
    instants,
    st.sampled_from(["container.exit", "process.start", "setup.complete", "error"]),
    st.dictionaries(st.from_regex(r"[a-z]{1,10}", fullmatch=True), texts, max_size=5),
)
records = st.one_of(
    st.builds(wire.Line, instants, sources, streams, st.binary(max_size=300)),
    st.builds(wire.Raw, instants, commands, streams, st.binary(max_size=300)),
    events,
)


def in_outbox(record: wire.Record) -> bytes:
    """The frame that the agent writes for a record."""
    if isinstance(record, wire.Event):
        pairs = [f"{key}={value}" for key, value in record.fields.items()]
        kind, payload = wire.Kind.EVENT, b"".join(t.encode() + b"\0" for t in [record.type, *pairs])
    else:
        kind = wire.Kind.RAW if isinstance(record, wire.Raw) else wire.Kind.LINE
        payload = f"{record.source}\0{record.stream}\0".encode() + record.data
    return frame(kind, payload, record.at)


@given(st.lists(records, max_size=20))
def test_what_the_agent_writes_is_read_back(written: list[wire.Record]) -> None:
    written.sort(key=lambda record: record.at)
    assert wire.decode(b"".join(map(in_outbox, written)), NOW) == written


@given(st.binary(max_size=400))
def test_any_bytes_are_records_or_an_error(data: bytes) -> None:
    try:
        wire.decode(data, NOW)
    except MachineError as error:
        assert "frame from the guest" in error.message


@given(st.lists(records, min_size=1, max_size=5), st.data())
def test_a_flipped_bit_is_harmless(written: list[wire.Record], data: st.DataObject) -> None:
    written.sort(key=lambda record: record.at)
    frames = bytearray(b"".join(map(in_outbox, written)))
    bit = data.draw(st.integers(0, len(frames) * 8 - 1))
    frames[bit // 8] ^= 1 << bit % 8
    try:
        read = wire.decode(bytes(frames), NOW)
    except MachineError:
        return
    assert len(read) <= len(frames) // 16


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (frame(9, b"agent\0out\0x"), "unknown kind"),
        (frame(wire.Kind.COMMAND, b"start\0"), "unknown kind"),
        (frame(wire.Kind.LINE, b"agent\0out\0x")[:-8], "too long"),
        (frame(wire.Kind.LINE, b"agent\0out\0x")[:12], "inside a header"),
        (frame(wire.Kind.LINE, b"", length=2**32 - 1), "too long"),
        (frame(wire.Kind.LINE, b"agent\0out\0" + bytes(70_000)), "too long"),
        (frame(wire.Kind.LINE, b"agent\0out"), "no proper source"),
        (frame(wire.Kind.LINE, b"agent\0side\0x"), "no proper source"),
        (frame(wire.Kind.LINE, b"container/../etc\0out\0x"), "no proper source"),
        (frame(wire.Kind.RAW, b"process/99999999999\0out\0x"), "no proper source"),
        (frame(wire.Kind.RAW, b"kernel\0out\0x"), "raw output of no command"),
        (frame(wire.Kind.RAW, b"agent\0tty\0x"), "raw output of no command"),
        (frame(wire.Kind.RAW, b"container/db.1\0out\0x"), "raw output of no command"),
        (frame(wire.Kind.EVENT, b""), "no proper event"),
        (frame(wire.Kind.EVENT, b"rm -rf\0"), "no proper event"),
        (frame(wire.Kind.EVENT, b"process.start\0Id=3\0"), "no proper event"),
        (frame(wire.Kind.EVENT, b"agent.ready\0", at=NOW + 1), "is dated"),
        (
            frame(wire.Kind.EVENT, b"agent.ready\0", at=2)
            + frame(wire.Kind.EVENT, b"agent.ready\0", at=1),
            "is dated",
        ),
    ],
)
def test_malformed_frames_are_refused(data: bytes, why: str) -> None:
    with pytest.raises(MachineError, match=why):
        wire.decode(data, NOW)


@given(st.integers(0, 2**40), st.integers(0, wire.OUTBOX_SIZE // 8))
def test_the_outbox_is_read_in_at_most_two_pieces(seen: int, length: int) -> None:
    seen, length = seen * 8, length * 8
    pieces = wire.unread(seen + length, seen)
    assert len(pieces) <= 2
    assert sum(size for _, size in pieces) == length
    for offset, size in pieces:
        assert size > 0
        assert offset >= wire.OUTBOX
        assert offset + size <= wire.SIZE


@pytest.mark.parametrize("out_head", [8, 1000 + wire.OUTBOX_SIZE + 8, 1004])
def test_an_overrun_outbox_is_noticed(out_head: int) -> None:
    with pytest.raises(MachineError, match="overrun"):
        wire.unread(out_head, 1000)


def read_inbox(memory: bytes, head: int, tail: int) -> list[bytes]:
    """The payloads between two positions, as the agent finds them."""
    payloads = []
    ring = memory[wire.INBOX : wire.INBOX + wire.INBOX_SIZE]
    while tail < head:
        at = tail % wire.INBOX_SIZE
        stretch = ring[at:] + ring[:at]
        length, kind, instant = struct.unpack_from("<IIQ", stretch)
        assert (kind, instant) == (wire.Kind.COMMAND, 0)
        payloads.append(stretch[16 : 16 + length])
        tail += 16 + -(-length // 8) * 8
    assert tail == head
    return payloads


@given(st.integers(0, 2**40), st.lists(st.binary(max_size=5000), max_size=5))
def test_commands_are_placed_in_the_inbox(position: int, payloads: list[bytes]) -> None:
    memory, head = bytearray(wire.SIZE), position * 8
    frames = b"".join(map(wire.frame, payloads))
    writes = wire.placed(frames, head)
    for offset, data in writes:
        memory[offset : offset + len(data)] = data
    (after,) = struct.unpack_from("<Q", memory, wire.IN_HEAD)
    assert writes[-1][0] == wire.IN_HEAD
    assert after == head + len(frames)
    assert read_inbox(bytes(memory), after, head) == payloads


def test_the_inbox_has_bounds() -> None:
    assert wire.room(100, 100) == wire.INBOX_SIZE
    assert wire.room(200, 100) == wire.INBOX_SIZE - 100
    with pytest.raises(MachineError):
        wire.room(100, 200)
    with pytest.raises(BranchpointError, match="does not fit"):
        wire.frame(bytes(wire.INBOX_SIZE))


def with_nuls(text: str) -> bytes:
    return text.encode().replace(b"|", b"\0")


def test_verbs() -> None:
    environment = {"A": "b=c"}
    assert wire.start() == with_nuls("start|")
    assert wire.exec(7, "ls") == with_nuls("exec|7||lines|0|ls|root|")
    assert wire.exec(7, "ls", "db", raw=True, environment=environment) == with_nuls(
        "exec|7|db|raw|1|A=b=c|ls|root|"
    )
    assert wire.exec(7, "ls", "db", user=wire.OWN) == with_nuls("exec|7|db|lines|0|ls|own|")
    assert wire.terminal(7, "db", user=wire.user("0:adm")) == with_nuls(
        "terminal|7|db|24|80|0|user 0:adm|"
    )
    assert wire.finish_test("finally") == with_nuls("test|finish|finally|")
    assert wire.signal(7, 15) == with_nuls("signal|7|15|")
    assert wire.container("pause", "db") == with_nuls("container|pause|db|")
    assert wire.container("kill", "db", "9") == with_nuls("container|kill|db|9|")
    assert wire.put("/etc/x", b"a\0b", "db", mode=0o600) == [with_nuls("put|db|/etc/x|600|0|a|b")]
    assert wire.seed(b"\0\1") == with_nuls("seed||\1")
    assert wire.noise(5_000_000, 1000) == with_nuls("noise|5000000|1000|")
    assert wire.plan("quiet 0 1\n") == with_nuls("faults|quiet 0 1\n|")
    assert wire.fault("b1", "kill", "db", "", 5, "container kill db", "") == with_nuls(
        "fault|b1|kill|db||5|container kill db||"
    )
    assert (wire.heal(), wire.heal("b1")) == (with_nuls("heal|"), with_nuls("heal|b1|"))
    assert wire.injector("pause") == with_nuls("injector|pause|")
    assert wire.injector("skip", 12) == with_nuls("injector|skip|12|")


@given(st.text())
def test_a_value_in_a_line_of_words_keeps_its_meaning(text: str) -> None:
    encoded = wire.encoded(text)
    assert "\n" not in encoded
    assert encoded.replace("%0A", "\n").replace("%25", "%") == text


def test_a_long_file_is_put_in_pieces() -> None:
    data = bytes(range(256)) * 5000
    commands = wire.put("/x", data)
    pieces = [command.split(b"\0", 5)[4:] for command in commands]
    assert [int(offset) for offset, _ in pieces] == [0, wire.LONGEST_PUT, 2 * wire.LONGEST_PUT]
    assert b"".join(piece for _, piece in pieces) == data
    assert all(len(wire.frame(command)) < wire.INBOX_SIZE for command in commands)
    assert len(wire.put("/empty", b"")) == 1


@pytest.mark.parametrize(
    "make",
    [
        lambda: wire.exec(1, "echo \0"),
        lambda: wire.exec(1, "x" * (wire.LONGEST_SCRIPT + 1)),
        lambda: wire.put("/a\0b", b""),
        lambda: wire.user("a b"),
        lambda: wire.user(""),
        lambda: wire.user("-1"),
        lambda: wire.user("a:"),
        lambda: wire.seed(b""),
        lambda: wire.seed(bytes(513)),
        lambda: wire.noise(9_999, 1_000_000),
        lambda: wire.noise(-1, 1_000_000),
        lambda: wire.noise(5_000_000, 999),
        lambda: wire.noise(5_000_000, 1_000_000_001),
        lambda: wire.plan("kind\0"),
        lambda: wire.fault("7", "kill", "db", "", 0, "", ""),
        lambda: wire.fault("a b", "kill", "db", "", 0, "", ""),
        lambda: wire.fault("b1", "two words", "db", "", 0, "", ""),
        lambda: wire.fault("b1", "kill", "db", "", -1, "", ""),
        lambda: wire.fault("b1", "kill", "d\0b", "", 1, "", ""),
        lambda: wire.heal("a b"),
        lambda: wire.injector("skip"),
        lambda: wire.injector("skip", -1),
        lambda: wire.injector("pause", 1),
        lambda: wire.injector("stop"),
    ],
)
def test_impossible_commands_are_refused(make) -> None:
    with pytest.raises(BranchpointError):
        make()
