"""What no state has: the whole emulator is compared before and after it restores its own state.

All of QEMU's objects, processor and devices, are compared byte for byte. All differences must be in
the table below, with the reason why they have no effect that the guest can see.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from branchpoint.machine import engine
from branchpoint.machine.pages import PagePool
from soaks import instants

pytestmark = pytest.mark.long

VISITS = 5  # per guest
REFERENCES = (24, 28, "how many references there are to the object: the emulator's own bookkeeping")
PROCESSOR = [
    (194, 195, "stop: whether the thread of the processor is asked to stop"),
    (440, 504, "the queue of work for that thread"),
    (624, 632, "mem_io_pc: where in translated code the last device was reached; set before use"),
    (768, 11168, "the software TLB: see the cures"),
    (11168, 11192, "what plugins are told of memory; none asks"),
    (11192, 11200, "how many instructions are left of this stretch; set whenever it runs"),
    (11344, 11376, "cc_dst, cc_src, cc_src2, cc_op, df: the flags, not yet computed; a state has "
     "them in eflags"),
    (11976, 12034, "fp_status, ft0, mmx_status: an instruction's own; flags are cleared before "
     "and collected in fpus after each"),
    (12034, 12068, "sse_status: set from mxcsr, into which its flags are folded"),
    (14112, 14192, "xmm_t0, mmx_t0: an instruction's own"),
    (24480, 24496, "error_code, exception_is_int, exception_next_eip: set before each exception"),
    (26456, 26464, "fpus_vmstate, fptag_vmstate: copies made for a state"),
]  # fmt: skip
DEVICES = {
    "ioapic": [
        (1320, 1512, "irq_count: statistics for a person"),
        (1512, 1608, "irq_eoi: a level interrupt that nobody serves is slowed down after 10 000 in "
         "a row; no driver leaves one so, and nobody else reaches the devices"),
    ],
    "i8042": [(174, 175, "extended_state_loaded: whether a state was ever loaded")],
    "PIIX3": [
        (at, at + 4, "references to an object inside") for at in (2920, 3928, 17512)
    ],
}  # fmt: skip
"""By type: bytes from, to, and the reason. Offsets are those of QEMU 10.0."""


@pytest.fixture(scope="module")
def guests() -> Iterator[dict[str, instants.Guest]]:
    if not engine.find().version.startswith("10.0."):
        pytest.skip(f"the layout of QEMU {engine.find().version} is not known")
    with instants.guests() as found:
        yield found


@pytest.mark.parametrize("name", [instants.TURNS, instants.TORTURE, instants.AGENT])
def test_all_that_a_state_leaves_out_is_explained(
    guests: dict[str, instants.Guest], name: str
) -> None:
    """While one boot of a kernel does every kind of work in turn, in torture, and in the agent."""
    guest = guests[name]
    visits = (
        instants.in_turns(guest, VISITS)
        if name == instants.TURNS
        else [(name, instant) for instant in instants.at_random(guest, VISITS)]
    )
    found: set[str] = set()
    with guest.start(pool=PagePool(guest.hashes)) as computer:
        if guest.state is not None:
            computer.restore(guest.state)
        for work, instant in visits:
            computer.run_to(instant)
            state = computer.capture()
            before = computer.objects()
            computer.restore(state)
            after = computer.objects()
            assert before.keys() == after.keys()
            for object_ in before:
                for each in unexplained(object_, before[object_], after[object_]):
                    found.add(f"{work}: {each}")
        if name == instants.TURNS:
            computer.run_to(guest.begin + len(instants.KINDS) * instants.TURN)
            assert computer.console().split()[-len(instants.KINDS) :] == list(instants.KINDS)
    assert sorted(found) == []


def unexplained(name: str, before: bytes, after: bytes) -> Iterator[str]:
    kind = name.rpartition(" ")[2]
    known = [REFERENCES, *DEVICES.get(kind, PROCESSOR if kind.endswith("-cpu") else [])]
    assert len(before) == len(after)
    differs = np.frombuffer(before, np.uint8) != np.frombuffer(after, np.uint8)
    for at in np.flatnonzero(differs).tolist():
        if not any(low <= at < high for low, high, _ in known):
            word = at - at % 8
            yield (
                f"{name}, byte {at}: {before[word : word + 8].hex()} "
                f"became {after[word : word + 8].hex()}"
            )
