"""Which stretch to run next.

Three kinds of nodes are continued, each kind with a fixed share: those in which something was seen
for the first time, all others, and set-up complete. Within a kind, a node is likelier the rarer
what it showed and the later it ends, and less likely with each of its stretches that showed nothing
new. (The recipe is that of coverage-guided fuzzers: M. Boehme, V.-T. Pham, A. Roychoudhury,
Coverage-based greybox fuzzing as Markov chain, 2016.) A node off which a failure was found is not
continued: others of the same failure would tell nothing new.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import NamedTuple

import numpy as np

from branchpoint.search.tree import ROOT, Node, Tree

_NEW, _ANY = 0.5, 0.35
"""Shares of stretches off nodes with something new, and off any node; the rest is off the root."""
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
        self._worth: list[float] = [0.0]
        """Of each node, the root included."""
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
        share = chance.random()
        wanted = np.array(self._open)
        if share < _NEW and (wanted & np.array(self._new)).any():
            wanted &= np.array(self._new)
        elif share >= _NEW + _ANY or not wanted.any():
            return Next(ROOT, seed)
        weights = np.where(wanted, np.array(self._worth) / (1 + np.array(self._barren)), 0)
        steps = np.cumsum(weights)
        return Next(int(np.searchsorted(steps, chance.random() * steps[-1], "right")), seed)
