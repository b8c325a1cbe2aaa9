"""Which stretch to run next.

There are tries: single stretches off a node in which something was seen for the first time. And
there are walks, which go on to the greatest depth, off set-up or off any node: what follows from an
event takes its time, and much of it is silent. At first both have half of the stretches; the longer
tries show nothing new, the fewer are made. Half of the tries leave nodes in which only code was
new: there are many of these, as programs now and then run something else for no reason, and they
must not crowd out the others.

A node is likelier the more and the rarer things it showed, the later it ends, and less likely with
each stretch off it that showed nothing new. Of code only the order of magnitude counts, as one
thing that happens runs many places. (So do coverage-guided fuzzers: M. Boehme, V.-T. Pham,
A. Roychoudhury, Coverage-based greybox fuzzing as Markov chain, 2016; to return to a state and go
on from there: A. Ecoffet et al., First return, then explore, 2021.) A node off which a failure was
found is not continued: others of the same failure would tell nothing new. Where a system has test
commands that look at the end of a test, some stretches end the test.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from math import exp
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from branchpoint.search.composed import NO_COMMANDS, Commands, Ending, driven
from branchpoint.search.tree import ROOT, Node, Tree

_TRIES = 0.5
"""Share of the stretches that are tries, while they show something new."""
_PATIENCE = 60
"""So many tries in vain, off each new node and off set-up, leave a third of that share."""
_AFRESH = 0.6
"""Share of the walks that begin at set-up; of tries, a small part does, too."""
_ROOTED = 0.1
_BY_CODE = 0.5
"""Share of the tries that leave nodes in which only code was new, if there are any."""
_COMMON = 0.05
"""What such a node is still worth when all its code has become common."""
_ENDINGS = 0.1
"""Share of the stretches that end the test of their timeline, where they can."""
_MOST_SEED = 2**63

Flags = NDArray[np.bool_]
Values = NDArray[np.float64]


class Next(NamedTuple):
    """A stretch to run."""

    parent: int
    seed: int
    walk: bool
    """Whether it is part of a walk."""
    ending: Ending = ""
    """How it ends the test."""


class Strategy:
    """Chooses stretches for one exploration. Equal trees and seeds give equal choices."""

    def __init__(
        self, tree: Tree, seed: int, depth: int, length: int, commands: Commands = NO_COMMANDS
    ) -> None:
        """Nothing later than ``depth`` (ns after set-up) is continued; a stretch has at most
        ``length`` (ns). ``commands`` are the test commands of the system.
        """
        self._tree = tree
        self._seed = seed
        self._depth = depth
        self._length = length
        self._counts: Counter[int] = Counter()
        """In how many stretches each sign was seen, by its number."""
        self._last: dict[int, Node] = {}
        """The last node of each worker."""
        self._walked = 0
        """How many nodes are parts of walks."""
        self._commands = commands
        self._templates: list[str] = [""]
        """Of each node, the root included: the test template of which a driver has begun."""
        # Likewise:
        self._said = _Column(np.float64, [0])
        """What it is worth for its signs."""
        self._fresh_code = _Column(np.int64, [0])
        """How many places of code it was the first to run."""
        self._late = _Column(np.float64, [0])
        self._new = _Column(np.bool_, [False])
        """Whether something was new in it."""
        self._told = _Column(np.bool_, [False])
        """Whether that was not code alone."""
        self._barren = _Column(np.int64, [0])
        """How many stretches off it have shown nothing new since one did."""
        self._open = _Column(np.bool_, [False])
        """Whether it may be continued; the root, which is chosen by itself, is not listed."""
        for node in tree.nodes:
            self.learn(node)

    def learn(self, node: Node) -> None:
        """Take in a node that was added to the tree."""
        tree = self._tree
        self._last[node.worker] = node
        self._walked += node.walk
        self._counts.update(node.seen)
        rare = sum(1 / self._counts[number] for number in node.seen)
        self._said.append(1 + len(node.fresh) + rare)
        self._late.append(1 + (node.end - tree.start) / self._length)
        self._fresh_code.append(len(node.fresh_code))
        self._new.append(node.new)
        self._told.append(bool(node.fresh))
        self._barren.append(0)
        ends = node.failure or node.ending or node.end >= tree.start + self._depth
        self._open.append(not ends)
        seen = node.seen if self._commands.named else ()
        begun = (template for sign in seen if (template := driven(tree.signs[sign])))
        self._templates.append(self._templates[node.parent] or next(begun, ""))
        barren = self._barren.all
        barren[node.parent] = 0 if node.new else barren[node.parent] + 1
        if node.failure and node.parent != ROOT:
            self._open.all[node.parent] = False

    def next(self, worker: int = 0) -> Next:
        """The next stretch for a worker. It depends on the tree, the seed and the worker only."""
        chance = random.Random(f"{self._seed} {len(self._tree)} {worker}")
        seed = chance.randrange(_MOST_SEED)
        last = self._last.get(worker)
        if last is not None and last.walk and self._open.all[last.number]:
            return self._ended(Next(last.number, seed, walk=True), chance)
        walk = self._begins_walk()
        wanted, worth = self._starts() if walk else self._promising(chance)
        if chance.random() < (_AFRESH if walk else _ROOTED) or not wanted.any():
            return Next(ROOT, seed, walk)
        steps = np.cumsum(np.where(wanted, worth / (1 + self._barren.all), 0))
        parent = np.searchsorted(steps, chance.random() * steps[-1], "right")
        return self._ended(Next(int(parent), seed, walk), chance)

    def _ended(self, chosen: Next, chance: random.Random) -> Next:
        """The same stretch; now and then one that ends the test, where it can be ended."""
        endings = self._commands.endings(self._templates[chosen.parent])
        if not endings or chance.random() >= _ENDINGS:
            return chosen
        return chosen._replace(ending=chance.choice(endings), walk=False)

    def _code(self) -> Values:
        """What nodes are worth for the code that they were the first to run: what others ran since
        counts less.
        """
        number = np.arange(len(self._fresh_code.all))
        owners = np.repeat(number, self._fresh_code.all)  # places are numbered in this order
        left = np.bincount(owners, 1 / self._tree.code.counts, len(number))
        return np.log2(1 + left)

    def _starts(self) -> tuple[Flags, Values]:
        """The nodes off which a walk may begin, and how good they are."""
        worth = (self._said.all + self._code()) * self._late.all
        return self._open.all, worth

    def _promising(self, chance: random.Random) -> tuple[Flags, Values]:
        """The nodes off which a try may be made, and how good they are."""
        new = self._open.all & self._new.all
        by_code, said = new & ~self._told.all, new & self._told.all
        if by_code.any() and (not said.any() or chance.random() < _BY_CODE):
            return by_code, (_COMMON + self._code()) * self._late.all
        return said, self._said.all * self._late.all

    def _begins_walk(self) -> bool:
        """Whether the next stretch that does not continue a walk begins one."""
        barren = self._barren.all
        tried = barren[self._open.all & self._new.all]
        tries = _TRIES * exp(-tried.min(initial=barren[ROOT]) / _PATIENCE)
        return bool(self._walked <= (1 - tries) * (len(barren) - 1))


class _Column:
    """Values that are appended one by one, as an array."""

    def __init__(self, kind: type[np.generic], values: Sequence[float] = ()) -> None:
        self._space = np.zeros(1024, kind)
        self._size = 0
        for value in values:
            self.append(value)

    def append(self, value: float) -> None:
        if self._size == len(self._space):
            self._space = np.resize(self._space, 2 * self._size)
        self._space[self._size] = value
        self._size += 1

    @property
    def all(self) -> NDArray[Any]:
        """All values, to read and to change."""
        return self._space[: self._size]
