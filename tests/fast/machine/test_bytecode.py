"""Which instructions of Python programs are told, from what an emulator says."""

from __future__ import annotations

import socket
import struct
import threading

import numpy as np
import pytest

from branchpoint.errors import MachineError
from branchpoint.machine.watching.bytecode import (
    MOST_TURNED,
    Bytecode,
    Function,
    Instruction,
    Interpreter,
    Jump,
)

EXECUTED = 5_000_000_000
RING = Function("/srv/ring.py", "Ring.read", 41, b"\x80\x00")


def record(function: Function, kinds: tuple[int, int] = (1, 1)) -> bytes:
    """A function, as the plugin tells it; ``kinds`` are the bytes of a character of its names."""
    codecs = {1: "latin-1", 2: "utf-16-le", 4: "utf-32-le"}
    names = [
        text.encode(codecs[kind])
        for text, kind in zip((function.file, function.name), kinds, strict=True)
    ]
    parts = [*names, function.table]
    head = function.line, *map(len, parts), kinds[0] | kinds[1] << 8, 0 if function.body else 2
    return struct.pack("<IIIIII", *head) + b"".join(parts)


def answer(units: list[tuple[int, int, int]], records: list[bytes], left_out: int = 0) -> bytes:
    told = b"".join(records)
    head = struct.pack("<IIIIQ", len(units), len(records), len(told), left_out, EXECUTED)
    return head + np.array(units, np.uint32).tobytes() + told


def answering(*answers: bytes) -> Bytecode:
    """A connection with an emulator that gives these answers, and then is gone."""
    ours, theirs = socket.socketpair()

    def serve() -> None:
        with theirs:
            for each in answers:
                if theirs.recv(1):
                    theirs.sendall(each)

    threading.Thread(target=serve, daemon=True).start()
    bytecode = Bytecode([])
    bytecode.attach(ours)
    return bytecode


def test_functions_are_told_once_and_meant_by_number_from_then_on() -> None:
    other = RING._replace(name="Ring", body=True)
    told = answering(
        answer([(0, 4, 97), (0, 0, 0)], [record(RING)]),
        answer([(1, 2, 0), (0, 4, 97)], [record(other)], 3),
    )
    first, second = Instruction(RING, 4, 97), Instruction(RING, 0, 0)
    assert told.take() == ([first, second], EXECUTED, False)
    assert told.take() == ([Instruction(other, 2, 0), first], EXECUTED, True)


@pytest.mark.parametrize(("name", "kind"), [("Café.lire", 1), ("Кольцо.читать", 2), ("𝒇", 4)])
def test_names_in_any_script_are_read(name: str, kind: int) -> None:
    told = answering(answer([(0, 0, 0)], [record(RING._replace(name=name), (1, kind))]))
    assert told.take()[0][0].function.name == name


def test_the_plugin_is_told_where_interpreters_are() -> None:
    python = Interpreter(
        10, 20, file=112, function=128, table=136, line=68, code=200, text=40,
        opposites=((97, 100), (98, 99)),
    )  # fmt: skip
    said = "python=10:20:112:128:136:68:200:40:97-100:98-99"
    assert Bytecode([python, python]).options() == [said] * 2


def test_turned_jumps_are_sent_as_the_memory_of_python_has_their_names() -> None:
    ours, theirs = socket.socketpair()
    bytecode = Bytecode([])
    bytecode.attach(ours)
    bytecode.turn([Jump("/srv/ring.py", "Кольцо.читать", 41, 12, 97), Jump("é", "𝒇", 1, 2, 98)])
    bytecode.turn([])
    ours.close()
    with theirs, theirs.makefile("rb") as sent:
        told = sent.read()
    expected = b"t" + struct.pack("<I", 2)
    expected += struct.pack("<IIIIII", 41, 12, 26, 1 | 2 << 8, 12, 97)
    expected += b"/srv/ring.py" + "Кольцо.читать".encode("utf-16-le")
    expected += struct.pack("<IIIIII", 1, 1, 4, 1 | 4 << 8, 2, 98)
    expected += "é".encode("latin-1") + "𝒇".encode("utf-32-le")
    assert told == expected + b"t" + struct.pack("<I", 0)


def test_more_jumps_than_there_is_room_for_are_refused() -> None:
    with pytest.raises(MachineError, match="65 jumps are more than can be turned, 64"):
        Bytecode([]).turn([Jump("a.py", "f", 1, 2 * i, 97) for i in range(MOST_TURNED + 1)])


@pytest.mark.parametrize(
    "head", [(1 << 19, 0, 0, 0, 0), (0, 1 << 17, 0, 0, 0), (0, 0, 1 << 29, 0, 0)], ids=str
)
def test_an_emulator_that_tells_too_much_is_not_believed(head: tuple[int, ...]) -> None:
    with pytest.raises(MachineError, match="more byte code than it may"):
        answering(struct.pack("<IIIIQ", *head)).take()


def test_a_name_of_any_length_is_not_believed() -> None:
    function = struct.pack("<IIIIII", 1, 1 << 30, 0, 0, 1, 0)
    with pytest.raises(MachineError, match="more byte code than it may"):
        answering(answer([], [function])).take()


def test_an_emulator_that_is_gone_is_noticed() -> None:
    with pytest.raises(OSError):
        answering(answer([(0, 0, 0)], [])[:9]).take()
