"""An exploration on disk: the directory ``X.bpx/``.

``exploration.json``    what is explored, and how
``base.branchpoint/``   the recording of set-up, off which all stretches begin
``nodes.jsonl``         the stretches, in the order in which they were added
``findings/N.branchpoint/``  the first failure of each kind, as a recording
``findings/N.json``     its triage, in words

A process killed at any instant leaves a directory that goes on with all stretches that had ended.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from branchpoint import showing
from branchpoint.clock import SECOND
from branchpoint.decoding import Malformed, from_json
from branchpoint.errors import BranchpointError, RecordingError
from branchpoint.events import tables
from branchpoint.events.listing import inert
from branchpoint.futures import recording as recordings
from branchpoint.futures.draws import Key, Seed, Text
from branchpoint.search.code import key_of
from branchpoint.search.composed import Commands
from branchpoint.search.judged import Judged, judge
from branchpoint.search.ran import FileRan, by_file
from branchpoint.search.signs import SIGNALS, Signal, asserted, signal
from branchpoint.search.stretches import Stretches
from branchpoint.search.tree import Node, Tree
from branchpoint.search.triage import Triage, keep
from branchpoint.store import disk
from branchpoint.store.ledger import Ledger
from branchpoint.store.manifest import Ns
from branchpoint.system.bundle import cached
from branchpoint.timeline.branch import Branch

SUFFIX = ".bpx"
"""What the name of an exploration ends with."""
HEAD, BASE = "exploration.json", "base.branchpoint"
_NODES, _FINDINGS = "nodes.jsonl", "findings"
_LARGEST = 1 << 20  # bytes of exploration.json
_SHOWN = 20  # findings that a notebook shows, and properties
_WIDTH = 200  # characters of a text that is shown
_MOST_WORDS = 1200  # ... of what a triage says


class Head(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is explored, and how."""

    format: Literal[1] = 1
    title: Text
    seed: Seed
    length: Ns
    """Most ns of a stretch."""
    depth: Ns
    """ns after set-up beyond which nothing is continued."""
    failures: Annotated[list[tuple[Text, Key]], Meta(max_length=1000)]
    """The names and keys of what is looked for."""
    signals: tuple[Signal, ...] = ("lines", "events")
    """What is seen of a stretch."""
    content: Annotated[dict[Text, Key], Meta(max_length=10_000)] = {}
    """Digests of what the system is made of besides its compose files, as far as they were known;
    see :mod:`branchpoint.system.bundle.contents`."""

    @classmethod
    def read(cls, path: Path) -> Head:
        """That of the exploration at ``path``.

        :raises RecordingError: when there is none, or it is damaged.
        """
        if not (path / HEAD).is_file():
            raise RecordingError(
                f"there is no exploration at {path}", "make one: branchpoint explore COMPOSE"
            )
        root = disk.open_directory(path)
        try:
            head: Head = from_json(disk.read_file(root, HEAD, f"{path}/{HEAD}", _LARGEST), cls)
        except Malformed as problem:
            raise RecordingError(f"{path}/{HEAD} is damaged: {problem}") from None
        finally:
            os.close(root)
        return head


@dataclass(frozen=True)
class Finding:
    """A kind of failure that was found."""

    number: int
    """Findings are numbered from 1 in the order in which they were found."""
    failure: str
    """The name of what failed."""
    kind: str
    """The event that was the failure, without its numbers."""
    nodes: tuple[int, ...]
    """The stretches that ended with it, the first one first."""
    vtime: float
    """Virtual seconds after set-up at which it came first."""
    path: Path
    """Its recording."""
    led_by: tuple[Signal, ...]
    """What was new on the way to it, before the stretch in which it came first."""

    def __str__(self) -> str:
        times = f"{len(self.nodes)} time{'s' * (len(self.nodes) != 1)}"
        return f"{self.number}  {self.failure}: {self.kind or '?'} ({times})  {self.path}"


@contextlib.contextmanager
def alone(root: int, path: Path) -> Iterator[None]:
    """In this block, be the only one that changes the exploration at ``path``, which is open as
    ``root``.

    :raises RecordingError: when somebody does already.
    """
    if not disk.lock(root):
        raise RecordingError(
            f"{path} is being explored already",
            "choose another name, or end that exploration first",
        )
    try:
        yield
    finally:
        disk.unlock(root)


class Exploration:
    """An exploration: its tree of stretches and its findings."""

    def __init__(self, path: Path | str) -> None:
        """Open the exploration at ``path``.

        :raises RecordingError: when there is none, or it is damaged.
        """
        self.path = Path(path)
        self.head = Head.read(self.path)
        with self.open_base() as base:
            self.tree = Tree(base.end.at)
            self.origin = base.origin
            """Absolute ns of vtime 0."""
        self._root = disk.open_directory(self.path)
        self._ledger = Ledger(self._root, _NODES, Node, f"{self.path}/{_NODES}")
        self.damage: list[str] = []
        """What is damaged in its files, in words."""
        self._kinds: dict[tuple[str, str], list[int]] = {}
        """The stretches that ended with each kind of failure, the first one first."""
        self._broken = ""
        """Why its later stretches cannot be used; "" when all can."""
        for node in self._ledger.read():
            try:
                self._take(node)
            except ValueError as problem:
                self._broken = (
                    f"{self.path}/{_NODES}: stretches from {node.number} on are left out: {problem}"
                )
                break
        self.damage += [*self._ledger.damage, *([self._broken] if self._broken else [])]

        self.stopped = False
        """Whether the call that gave it was interrupted."""
        self._stretches: Stretches | None = None

    def close(self) -> None:
        """Release its directory, and end the emulators that :meth:`branch` has started."""
        os.close(self._root)
        if self._stretches is not None:
            self._stretches.close()

    def __enter__(self) -> Exploration:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def kinds(self) -> int:
        """How many kinds of failures were found."""
        return len(self._kinds)

    @property
    def size(self) -> int:
        """Bytes of disk that all of it takes."""
        every = [self.path, *self.path.rglob("*")]
        return sum(512 * os.lstat(path).st_blocks for path in every)

    @property
    def findings(self) -> list[Finding]:
        """The kinds of failures that were found, in the order in which they were found."""
        found = []
        for number, ((name, kind), nodes) in enumerate(self._kinds.items(), 1):
            at = self.tree[nodes[0]].failed_at
            assert at is not None
            path = self._path_of(number)
            vtime = (at - self.origin) / SECOND
            led_by = self._led_by(nodes[0])
            found.append(Finding(number, name, kind, tuple(nodes), vtime, path, led_by))
        return found

    def _led_by(self, number: int) -> tuple[Signal, ...]:
        way = [self.tree[each] for each in self.tree.path(number)[:-1]]
        new = {signal(sign) for node in way for sign in node.fresh}
        lines = [key_of(place) is not None for node in way for place in node.fresh_code]
        if any(lines):
            new.add("python")
        if not all(lines):
            new.add("code")
        return tuple(each for each in SIGNALS if each in new)

    def finding(self, number: int) -> Finding:
        """The finding of that number.

        :raises BranchpointError: when there is none.
        """
        self._path_of(number)
        return self.findings[number - 1]

    def triage(self, number: int) -> Triage | None:
        """The triage of a finding; None when there is none yet.

        :raises RecordingError: when it is damaged.
        """
        path = self._triage_of(number)
        if not path.exists():
            return None
        root = disk.open_directory(path.parent)
        try:
            told: Triage = from_json(disk.read_file(root, path.name, str(path), _LARGEST), Triage)
        except Malformed as problem:
            raise RecordingError(f"{path} is damaged: {problem}", "delete it") from None
        finally:
            os.close(root)
        return told

    def keep_triage(self, number: int, told: Triage) -> None:
        """Keep the triage of a finding."""
        keep(told, self._triage_of(number))

    def _triage_of(self, number: int) -> Path:
        return self._path_of(number).with_suffix(".json")

    def _path_of(self, number: int) -> Path:
        """Where the recording of a finding is.

        :raises BranchpointError: when there is no such finding.
        """
        if not 1 <= number <= self.kinds:
            known = f"there are 1 to {self.kinds}" if self.kinds else "nothing was found"
            raise BranchpointError(f"{self.path} has no finding {number}", known)
        return self.path / _FINDINGS / f"{number}.branchpoint"

    @cached_property
    def assertions(self) -> list[Judged]:
        """What the assertions of its programs say and how its test commands end, judged over set-up
        and all stretches that were there when this was first asked for; none that is not looked at.
        """
        with self.open_base() as base:
            told = [asserted(event) for event in base.events.where(type="sdk.assert")]
            commands = Commands.of(base.manifest.containers)
        judged = judge(self.tree, told, commands)
        return [each for each in judged if each.signal in self.head.signals]

    @property
    def violated(self) -> list[Judged]:
        """The :attr:`assertions` that are violated. Of those violated only during set-up no
        finding tells, as all stretches begin after it.
        """
        return [each for each in self.assertions if each.status == "violated"]

    @property
    def clean(self) -> bool:
        """Whether nothing was found and no assertion is violated."""
        return not self._kinds and not self.violated

    def files_ran(self) -> list[FileRan] | None:
        """The files of which code ran, most places first; None when the system's image is not on
        this computer.
        """
        with self.open_base() as base:
            module = cached.find(base.manifest.machine.system_image)
        return None if module is None else by_file(self.tree.code.places, module)

    def branch(self, number: int) -> Branch:
        """The timeline of a stretch, from power-on to its end, run again in this process.

        Its end is a moment like any other, until this exploration is closed.

        :raises BranchpointError: when there is no stretch of that number.
        """
        if not 1 <= number <= len(self.tree):
            raise BranchpointError(
                f"{self.path} has no stretch {number}", f"there are 1 to {len(self.tree)}"
            )
        if self._stretches is None:
            self._stretches = Stretches(self.tree, self.open_base, signals=())
        return self._stretches.branch(number)

    def map(self) -> Any:
        """Its stretches as a tree, for a notebook: choosing one gives its number
        (``view.stretch``), its timeline (``view.branch``) and its end (``view.moment``).

        Of many, those have rows of their own that lead to a failure or in which most was new.
        """
        return showing.show("exploration", self)

    def open_base(self) -> recordings.Recording:
        """Open the recording of set-up, off which all stretches begin; the caller closes it."""
        return recordings.open_recording(self.path / BASE)

    @contextlib.contextmanager
    def claimed(self) -> Iterator[None]:
        """In this block, be the only one that continues it.

        :raises RecordingError: when somebody does already, or stretches are lost.
        """
        with alone(self._root, self.path):
            if self._broken:
                raise RecordingError(self._broken, f"{self.path} can be read, not continued")
            yield

    def add(self, node: Node) -> int:
        """Add a stretch, on disk too; returns its number."""
        number = self._take(node)
        self._ledger.append(node)
        return number

    def _take(self, node: Node) -> int:
        number = self.tree.add(node)
        if node.failure:
            self._kinds.setdefault((node.failure, node.kind), []).append(number)
        return number

    @property
    def _summary(self) -> str:
        tree, count = self.tree, self.kinds
        return (
            f"Exploration of {self.head.title}: {len(tree)} stretch{'es' * (len(tree) != 1)}, "
            f"{tree.virtual / SECOND:.1f} virtual s, {len(tree.signs)} different things seen, "
            f"{len(tree.code)} places of code, "
            f"{count} finding{'s' * (count != 1)}"
        )

    def __repr__(self) -> str:
        violated: list[str] = []
        with contextlib.suppress(BranchpointError):  # set-up may not be recorded, or not be here
            violated += (f"violated in {e.where}: {e.kind}, {e.message}" for e in self.violated)
        if len(violated) > _SHOWN:
            violated[_SHOWN:] = [f"{len(violated) - _SHOWN} more are violated: .violated has all"]
        return "\n  ".join([self._summary, *map(str, self.findings), *violated])

    def _repr_html_(self) -> str:
        """The findings, each with what its triage says; then what has to hold and does not."""
        parts = [f"<p>{escape(inert(self._summary, _WIDTH))}</p>"]
        rows = [
            (
                str(each.number), inert(f"{each.failure}: {each.kind or '?'}", _WIDTH),
                str(len(each.nodes)), f"{each.vtime:.3f} s", self._words(each.number),
                inert(str(each.path), _WIDTH),
            )
            for each in self.findings[:_SHOWN]
        ]  # fmt: skip
        if rows:
            titles = ("finding", "failure", "stretches", "first at", "why", "recording")
            parts.append(tables.html(titles, rows))
        if self.kinds > _SHOWN:
            parts.append(tables.note(f"{self.kinds - _SHOWN} more: .findings has all"))
        unmet = [each for each in self.assertions if each.status != "holds"]
        if unmet:
            told = [(each.status, inert(each.message, _WIDTH), each.kind) for each in unmet]
            parts.append(tables.html(("status", "what has to hold", "kind"), told[:_SHOWN]))
            if len(told) > _SHOWN:
                parts.append(tables.note(f"{len(told) - _SHOWN} more: .assertions has all"))
        return "".join(parts)

    def _words(self, number: int) -> str:
        try:
            told = self.triage(number)
        except RecordingError as problem:
            return inert(str(problem), _WIDTH)
        return inert(told.words, _MOST_WORDS) if told is not None else ""
