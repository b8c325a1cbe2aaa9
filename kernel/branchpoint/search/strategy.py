"""Which stretch to run next.

There are tries: single stretches off a node in which something was seen for the first time. And
there are walks, which go on to the greatest depth, off set-up or off any node: what follows from an
event takes its time, and much of it is silent. At first both have half of the stretches; the longer
tries show nothing new, the fewer are made.

A node is likelier the more and the rarer things it showed, the later it ends, and less likely with
each stretch off it that showed nothing new. (So do coverage-guided fuzzers: M. Boehme, V.-T. Pham,
A. Roychoudhury, Coverage-based greybox fuzzing as Markov chain, 2016; to return to a state and go
on from there: A. Ecoffet et al., First return, then explore, 2021.) A node off which a failure was
found is not continued: others of the same failure would tell nothing new.
"""

from __future__ import annotations

import random
from collections import Counter
from math import exp
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from branchpoint.search.tree import ROOT, Node, Tree

_TRIES = 0.5
"""Share of the stretches that are tries, while they show something new."""
_PATIENCE = 60
"""So many tries in vain, off each new node and off set-up, leave a third of that share."""
_AFRESH = 0.6
"""Share of the walks that begin at set-up; of tries, a small part does, too."""
_ROOTED = 0.1
_MOST_SEED = 2**63


class Next(NamedTuple):
    """A stretch to run."""

    parent: int
    seed: int


class Strategy:
    """Chooses stretches for one exploration. Equal trees and seeds give equal choices."""

    def __init__(self, tree: Tree, seed: int, depth: int, length: int) -> None:
        """Nothing later than ``depth`` (ns after set-up) is continued; a stretch has at most
        ``length`` (ns).
        """
        self._tree = tree
        self._seed = seed
        self._depth = depth
        self._length = length
        self._counts: Counter[int] = Counter()
        """In how many stretches each sign was seen, by its number."""
        self._walking = False
        """Whether the last node is part of a walk."""
        self._walked = 0
        """How many nodes are."""
        # Of each node, the root included:
        self._worth: list[float] = [0.0]
        self._new: list[bool] = [False]
        self._barren: list[int] = [0]
        """How many stretches off it have shown nothing new since one did."""
        self._open: list[bool] = [False]
        """Whether it may be continued; the root, which is chosen by itself, is not listed."""
        for node in tree.nodes:
            self.learn(node)

    def learn(self, node: Node) -> None:
        """Take in a node that was added to the tree."""
        tree = self._tree
        walked_on = self._walking and self._open[-1] and node.parent == node.number - 1
        self._walking = walked_on or self._begins_walk()
        self._walked += self._walking
        self._counts.update(node.seen)
        rare = sum(1 / self._counts[number] for number in node.seen)
        late = (node.end - tree.start) / self._length
        self._worth.append((1 + len(node.fresh) + rare) * (1 + late))
        self._new.append(bool(node.fresh))
        self._barren.append(0)
        self._open.append(not node.failure and node.end < tree.start + self._depth)
        self._barren[node.parent] = 0 if node.fresh else self._barren[node.parent] + 1
        if node.failure and node.parent != ROOT:
            self._open[node.parent] = False

    def next(self) -> Next:
        """The next stretch. It depends on the tree and the seed only."""
        chance = random.Random(f"{self._seed} {len(self._tree)}")
        seed = chance.randrange(_MOST_SEED)
        if self._walking and self._open[-1]:
            return Next(len(self._tree), seed)
        begins = self._begins_walk()
        wanted = np.array(self._open)
        if not begins:
            wanted &= np.array(self._new)
        if chance.random() < (_AFRESH if begins else _ROOTED) or not wanted.any():
            return Next(ROOT, seed)
        return Next(self._chosen(wanted, chance), seed)

    def _begins_walk(self) -> bool:
        """Whether the next stretch that does not continue a walk begins one."""
        new = np.flatnonzero(np.array(self._open) & np.array(self._new))
        vain = min(self._barren[number] for number in (ROOT, *new.tolist()))
        tries = _TRIES * exp(-vain / _PATIENCE)
        return self._walked <= (1 - tries) * (len(self._worth) - 1)

    def _chosen(self, wanted: NDArray[np.bool_], chance: random.Random) -> int:
        """One of the nodes, by what it showed and by what came of its stretches."""
        weights = np.where(wanted, np.array(self._worth) / (1 + np.array(self._barren)), 0)
        steps = np.cumsum(weights)
        return int(np.searchsorted(steps, chance.random() * steps[-1], "right"))
