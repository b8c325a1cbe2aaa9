"""Which instructions of Python programs are told, from what an emulator says."""

from __future__ import annotations

import socket
import struct
import threading

import numpy as np
import pytest

from branchpoint.errors import MachineError
from branchpoint.machine.watching.bytecode import Bytecode, Function, Instruction, Interpreter

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


def answer(units: list[tuple[int, int]], records: list[bytes], left_out: int = 0) -> bytes:
    told = b"".join(records)
    head = struct.pack("<IIII", len(units), len(records), len(told), left_out)
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
        answer([(0, 4), (0, 0)], [record(RING)]), answer([(1, 2), (0, 4)], [record(other)], 3)
    )
    assert told.take() == ([Instruction(RING, 4), Instruction(RING, 0)], False)
    assert told.take() == ([Instruction(other, 2), Instruction(RING, 4)], True)


@pytest.mark.parametrize(("name", "kind"), [("Café.lire", 1), ("Кольцо.читать", 2), ("𝒇", 4)])
def test_names_in_any_script_are_read(name: str, kind: int) -> None:
    told = answering(answer([(0, 0)], [record(RING._replace(name=name), (1, kind))]))
    assert told.take()[0][0].function.name == name


def test_the_plugin_is_told_where_interpreters_are() -> None:
    python = Interpreter(10, 20, file=112, function=128, table=136, line=68, code=200, text=40)
    assert Bytecode([python, python]).options() == ["python=10:20:112:128:136:68:200:40"] * 2


@pytest.mark.parametrize(
    "head", [(1 << 19, 0, 0, 0), (0, 1 << 17, 0, 0), (0, 0, 1 << 29, 0)], ids=str
)
def test_an_emulator_that_tells_too_much_is_not_believed(head: tuple[int, ...]) -> None:
    with pytest.raises(MachineError, match="more byte code than it may"):
        answering(struct.pack("<IIII", *head)).take()


def test_a_name_of_any_length_is_not_believed() -> None:
    function = struct.pack("<IIIIII", 1, 1 << 30, 0, 0, 1, 0)
    with pytest.raises(MachineError, match="more byte code than it may"):
        answering(answer([], [function])).take()


def test_an_emulator_that_is_gone_is_noticed() -> None:
    with pytest.raises(OSError):
        answering(answer([(0, 0)], [])[:9]).take()
