"""How the tests send commands to the guest's agent: raw ones of :mod:`branchpoint.guest.wire`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from places import IDLE

import branchpoint as bp
from branchpoint import bash
from branchpoint.guest import wire
from branchpoint.guest.image import ensure_image
from branchpoint.guest.mailbox import Mailbox
from branchpoint.guest.snapshot import ensure_snapshot
from branchpoint.machine.computer import Computer
from branchpoint.machine.pages import PagePool
from branchpoint.system import build

SECOND = 1_000_000_000
MS = 1_000_000
FAULTS = ["fault.start", "fault.end"]
TICK = wire.TICK / SECOND
LATE = 0.5e-3  # seconds until the agent, woken at an instant, has acted; a generous bound


def say(branch: bp.Branch, *commands: bytes) -> bp.Branch:
    """Place commands at the tip of a branch."""
    for command in commands:
        branch._place("fault", command, "")
    return branch


def future(run: bp.Recording, *commands: bytes, seed: bytes | None = b"a") -> bp.Branch:
    """A branch from second 1, seeded, with these commands at its start."""
    branch = run.at(1).branch()
    return say(branch, *([wire.seed(seed)] if seed else []), *commands)


def of(branch: bp.Branch, *types: str, start: float = 1) -> list[bp.Event]:
    return [e for e in branch.events.where(start=start) if e.type in (types or FAULTS)]


def begun(branch: bp.Branch) -> list[tuple[str, float, str, str, str, str]]:
    """Number, instant, type, target, parameters and duration of each fault."""
    return [
        (e.fields["id"], e.vtime, *(e.fields[k] for k in ("type", "target", "params", "for")))
        for e in of(branch, "fault.start")
    ]


def kind(type_: str, every: float, low: float = 0, high: float = 0, *lines: str) -> str:
    """A `kind` of a plan, in seconds; it has one target when the lines name none."""
    times = " ".join(str(round(t * SECOND)) for t in (every, low, high))
    return "\n".join([f"kind {type_} {times}", *(lines or ["target guest"])]) + "\n"


def once(type_: str, from_: float, until: float, chance: float, *lines: str) -> str:
    millionths = round(chance * 1e6)
    return (
        f"once {type_} {round(from_ * SECOND)} {round(until * SECOND)} {millionths} 0 0\n"
        + "\n".join(lines or ["target guest"])
        + "\n"
    )


def state(branch: bp.Branch, container: str) -> str:
    (found,) = [c for c in branch.containers() if c.name == container]
    return found.state


def contents(branch: bp.Branch, path: str) -> list[str]:
    return bash(f"cat {path}").run(branch).output.split("\n")[:-1]


class Machine:
    """A computer with a system in it that was not started yet."""

    def __init__(self, system: Path) -> None:
        guest = ensure_image()
        snapshot = ensure_snapshot(guest, system, build(IDLE).system.hardware)
        spec = replace(snapshot.spec, modules=(guest.toolbox, system))
        self.computer = Computer(spec, template=snapshot.template, pool=PagePool(snapshot.hashes))
        self.computer.restore(snapshot.state)
        self.mailbox = Mailbox(self.computer)
        self.mailbox.skip()
        self.records: list[wire.Record] = []

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, *_: object) -> None:
        self.computer.close()

    def run(self, seconds: float, *commands: bytes) -> None:
        for command in commands:
            self.mailbox.send(command)
        end = self.computer.now + round(seconds * SECOND)
        while self.computer.now < end:
            self.computer.run_to(min(end, self.computer.now + wire.DRAIN))
            self.records += self.mailbox.drain()

    def events(self, type_: str) -> list[wire.Event]:
        return [r for r in self.records if isinstance(r, wire.Event) and r.type == type_]


MIXED = wire.plan(
    kind("touch", 0.3, 0, 0, "target x", "begin sh echo x >> /run/touched")
    + kind("freeze", 0.5, 0.1, 0.4, "param load 1 1000", "target a.1", "begin container pause a.1",
           "end container unpause a.1", "target c.1", "begin container pause c.1",
           "end container unpause c.1")
    + kind("kill", 0.7, 0, 0, "target b.1", "begin container kill b.1")
    + once("clock", 2, 5, 0.9, "param step -5000 5000", "target guest", "begin clock {step}")
)  # fmt: skip
NOISE = wire.noise(5 * MS, MS)
