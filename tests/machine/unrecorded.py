"""A system in the machine, without a recording."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Self

from branchpoint.guest import wire
from branchpoint.guest.image import ensure_image
from branchpoint.guest.mailbox import Mailbox
from branchpoint.guest.snapshot import ensure_snapshot
from branchpoint.machine.computer import Computer
from branchpoint.machine.pages import PagePool
from branchpoint.system import build


class Machine:
    """A computer with the system in it, and all its events."""

    def __init__(self, folder: Path) -> None:
        image = ensure_image()
        system = build(folder)
        snapshot = ensure_snapshot(image, system.path, system.system.hardware)
        spec = replace(snapshot.spec, modules=(image.toolbox, system.path))
        self.computer = Computer(spec, template=snapshot.template, pool=PagePool(snapshot.hashes))
        self.computer.restore(snapshot.state)
        self.mailbox = Mailbox(self.computer)
        self.mailbox.skip()
        self.records: list[wire.Record] = []
        self.commands = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.computer.close()

    def start(self, seconds: float) -> None:
        """Start the containers and run for this long."""
        self.mailbox.send(wire.start())
        self.run(seconds)

    def run(self, seconds: float) -> None:
        end = self.computer.now + int(seconds * 1e9)
        while self.computer.now < end:
            self.computer.run_to(min(end, self.computer.now + wire.DRAIN))
            self.records += self.mailbox.drain()

    def events(self, kind: str, name: str = "") -> list[dict[str, str]]:
        events = [r for r in self.records if isinstance(r, wire.Event) and r.type == kind]
        return [e.fields for e in events if not name or e.fields.get("name") == name]

    def said(self, source: str) -> list[str]:
        lines = [r for r in self.records if isinstance(r, wire.Line) and r.source == source]
        return [line.data.decode() for line in lines]

    def ask(self, container: str, script: str) -> list[str]:
        """The output of a command, both streams."""
        self.commands += 1
        self.mailbox.send(wire.exec(self.commands, script, container))
        self.run(0.5)
        return self.said(f"process/{self.commands}")
