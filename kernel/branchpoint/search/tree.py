"""What an exploration has seen: a tree of short stretches of time, off set-up complete.

Each node is a stretch: it leaves its parent's end with a seed, and ends where something was seen
for the first time, where something failed, or when its time is over.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from msgspec import Meta, Struct

from branchpoint.futures.draws import Cause, Seed, Text
from branchpoint.machine.watching.coverage import MOST_BLOCKS, Places
from branchpoint.machine.watching.ran import NO_CODE
from branchpoint.search.code import Code
from branchpoint.search.composed import Ending
from branchpoint.store.manifest import Ns

ROOT = 0
"""The number of the node at which all begins: set-up complete."""
MOST_SEEN = 500
"""Different things that are noted of one stretch."""
MOST_WORKERS = 4096
MOST_CODE = 2 * MOST_BLOCKS
"""Places of code that are noted of one stretch."""

Place = Annotated[int, Meta(ge=0, le=2**48)]


class Node(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One stretch of an exploration. Instants are absolute ns."""

    number: Annotated[int, Meta(ge=1)]
    """Nodes are numbered from 1 in the order in which they were added."""
    parent: Annotated[int, Meta(ge=0)]
    """The number of the node that it continues; 0 is set-up complete."""
    seed: Seed
    worker: Annotated[int, Meta(ge=0, lt=MOST_WORKERS)] = 0
    """The number of the process that ran it; in a cluster that many come and go to, the rest when
    it is divided by :data:`MOST_WORKERS`."""
    walk: bool = False
    """Whether it is part of a walk; see :mod:`strategy`."""
    ending: Ending = ""
    """How it ends the test of its timeline; then it is not continued."""
    start: Ns
    end: Ns
    fresh: Annotated[list[Cause], Meta(max_length=MOST_SEEN)] = []
    """What was seen in it for the first time in the exploration; see :mod:`signs`."""
    seen: Annotated[list[int], Meta(max_length=MOST_SEEN)] = []
    """The numbers of all that was seen in it. Things are numbered from 0 in the order in which they
    were seen first."""
    fresh_code: Annotated[list[Place], Meta(max_length=MOST_CODE)] = []
    """The places of code that ran in it for the first time in the exploration, ascending."""
    rare_code: Annotated[list[Annotated[int, Meta(ge=0)]], Meta(max_length=MOST_CODE)] = []
    """The numbers of those that had run in few stretches before; see :mod:`code`."""
    untold: bool = False
    """Whether there was more code than an emulator tells apart, so that some is left out."""
    failure: Text = ""
    """The name of the failure that ended it."""
    failed_at: Ns | None = None
    kind: Text = ""
    """What tells this failure from others of that name: the event that was the failure."""

    @property
    def new(self) -> bool:
        """Whether something was seen in it for the first time."""
        return bool(self.fresh or self.fresh_code)

    def __post_init__(self) -> None:
        if not self.start <= self.end:
            raise ValueError("a stretch ends before it begins")
        if (self.failed_at is None) != (not self.failure):
            raise ValueError("a stretch has an instant of failure if it failed, and only then")


class Tree:
    """The nodes of an exploration, and what follows from them."""

    def __init__(self, start: int) -> None:
        """``start`` is the instant of the root, absolute ns."""
        self.start = start
        self.nodes: list[Node] = []
        self.signs: list[str] = []
        """All that was seen, the first one first."""
        self._number: dict[str, int] = {}
        self.code = Code()

    def __len__(self) -> int:
        return len(self.nodes)

    def knows(self, sign: str) -> bool:
        """Whether this was seen before."""
        return sign in self._number

    def node(
        self,
        parent: int,
        seed: int,
        start: int,
        end: int,
        seen: Iterable[str],
        ran: Places = NO_CODE,
    ) -> Node:
        """A node that did not fail, still to be added; ``ran`` is the code that ran in it."""
        signs = list(dict.fromkeys(seen))[:MOST_SEEN]
        fresh = [sign for sign in signs if not self.knows(sign)]
        new = {sign: len(self.signs) + place for place, sign in enumerate(fresh)}
        fresh_code, rare_code = self.code.look(ran)
        return Node(
            number=len(self.nodes) + 1,
            parent=parent, seed=seed, start=start, end=end, fresh=fresh,
            seen=sorted(new[s] if s in new else self._number[s] for s in signs),
            fresh_code=fresh_code, rare_code=rare_code,
        )  # fmt: skip

    def add(self, node: Node) -> int:
        """Add a node; returns its number.

        :raises ValueError: when it does not fit the others.
        """
        if node.number != len(self.nodes) + 1:
            raise ValueError(f"number {len(self.nodes) + 1} is missing")
        known = len(self.signs) + len(node.fresh)
        if node.parent > len(self.nodes) or self.end(node.parent) != node.start:
            raise ValueError("a stretch does not begin where its parent ends")
        if any(number >= known for number in node.seen) or any(map(self.knows, node.fresh)):
            raise ValueError("a stretch numbers what it has seen otherwise than the others")
        self.code.learn(node.fresh_code, node.rare_code)
        for sign in node.fresh:
            self._number[sign] = len(self.signs)
            self.signs.append(sign)
        self.nodes.append(node)
        return len(self.nodes)

    def __getitem__(self, number: int) -> Node:
        """The node of that number, from 1 on."""
        if number < 1:
            raise IndexError(number)
        return self.nodes[number - 1]

    def end(self, number: int) -> int:
        """Where a node ends, absolute ns."""
        return self.start if number == ROOT else self[number].end

    def path(self, number: int) -> list[int]:
        """The numbers of the nodes from set-up complete to this one, without the root."""
        found = []
        while number != ROOT:
            found.append(number)
            number = self[number].parent
        return found[::-1]

    @property
    def virtual(self) -> int:
        """The virtual time of all stretches together, ns."""
        return sum(node.end - node.start for node in self.nodes)
