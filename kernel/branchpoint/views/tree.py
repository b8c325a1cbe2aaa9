"""The branches of a recording as a tree: those held by variables, those noted with the recording,
and the futures of curves.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from weakref import ReferenceType, ref

import msgspec
from blake3 import blake3

from branchpoint.clock import format_vtime
from branchpoint.events.event import cut
from branchpoint.events.listing import inert
from branchpoint.explore.curve import Curve
from branchpoint.explore.draws import Draw
from branchpoint.store.manifest import Input
from branchpoint.timeline.directory import Future
from branchpoint.timeline.failures import Failure
from branchpoint.timeline.judges import Stretch
from branchpoint.timeline.recording import Recording
from branchpoint.timeline.replaying.history import History
from branchpoint.timeline.seeds import seed_of

MOST = 400
"""Most nodes of a tree. All futures of a curve from one moment are one node."""
_WIDTH = 90  # characters of a title


@dataclass(eq=False)
class Node:
    """A branch, or the futures of a curve from one moment. Instants are absolute ns."""

    kind: str
    """"recording", "branch" (held by a variable), "noted" (with the recording), "futures" (of a
    curve)."""
    start: int
    end: int
    title: str
    verdict: str = ""
    """"failed", "passed", or "" when it was not judged."""
    counts: dict[str, int] = field(default_factory=dict)
    """For futures: how many have each verdict."""
    depth: int = 0
    parent: int = -1
    """Its number in the tree."""
    held: ReferenceType[History] | None = None
    """The history of a branch that a variable holds. The map itself does not keep it alive."""
    future: Future | None = None
    draws: list[Draw] = field(default_factory=list)
    curve: Curve | None = None
    children: list[Node] = field(default_factory=list)


def grow(
    run: Recording, noted: Iterable[Future], curves: list[Curve], failure: Failure
) -> tuple[list[Node], int]:
    """The nodes, each before its children, the recording first; and how many are left out."""
    root = Node("recording", run.earliest, run.manifest.end, "the recording")
    held = _held(run, failure, root)
    _noted(noted, root, held)
    for curve in curves:
        root.children += _futures(curve)
    found: list[Node] = []
    _walk(root, -1, 0, found)
    return found[:MOST], max(len(found) - MOST, 0)


def _walk(node: Node, parent: int, depth: int, found: list[Node]) -> None:
    stack = [(node, parent, depth)]
    while stack:
        node, node.parent, node.depth = stack.pop()
        number = len(found)
        found.append(node)
        children = sorted(node.children, key=lambda child: (child.start, child.kind, child.title))
        stack += [(child, number, node.depth + 1) for child in reversed(children)]


# -- branches that are held


def _held(run: Recording, failure: Failure, root: Node) -> dict[int, Node]:
    """Nodes of the branches in this process, by the id() of their histories; each is added to
    its parent.
    """
    found: dict[int, Node] = {}
    histories = [branch._history for branch in run.branches]
    for history in histories:
        given = history.inputs[history.fork.count : history.tip.count]
        node = Node("branch", history.fork.at, history.tip.at, title_of(given), held=ref(history))
        node.verdict = _verdict(run, history, failure)
        found[id(history)] = node
    for history in histories:
        above = history.parent
        while above is not None and id(above) not in found:
            above = above.parent
        parent = root if above is None else found[id(above)]
        parent.children.append(found[id(history)])
    return found


def _verdict(run: Recording, history: History, failure: Failure) -> str:
    """Whether the failure has happened since the fork; "" while the branch has not moved."""
    if history.tip.at == history.fork.at:
        return ""
    columns = history.log.columns()
    split = int(columns.at.searchsorted(history.fork.at, "right"))
    past = cut(columns, 0, split)
    judge = failure.judge(Stretch(history.fork.at, history.tip.at, run.origin, past))
    new = (columns.event(place, run.origin) for place in range(split, len(columns)))
    return "failed" if judge.feed(new) is not None else "passed"


# -- branches that are noted with the recording


def _noted(noted: Iterable[Future], root: Node, held: dict[int, Node]) -> None:
    """Add the branches whose ids were shown. One that continues another is its child."""
    known: set[bytes] = set()
    for node in held.values():
        history = node.held() if node.held is not None else None
        while history is not None and history.parent is not None:
            known |= {*_keys(history.inputs[history.fork.count : history.tip.count])}
            history = history.parent
    longest = sorted(noted, key=lambda f: (f.at, len(f.inputs), f.id))
    made: dict[tuple[int, bytes], Node] = {}
    for future in longest:
        keys = _keys(future.inputs)
        if keys[-1] in known:
            continue
        last = future.inputs[-1].at if future.inputs else future.at
        parent, fork, shared = root, future.at, 0
        for count in range(len(future.inputs) - 1, 0, -1):
            above = made.get((future.at, keys[count]))
            if above is not None:
                parent, fork, shared = above, future.inputs[count].at, count
                break
        title = title_of(future.inputs[shared:])
        node = Node("noted", fork, max(last, fork), title, future=future)
        made[future.at, keys[-1]] = node
        parent.children.append(node)


def _keys(inputs: list[Input]) -> list[bytes]:
    """Digests that identify the first 0, 1, 2, ... of these inputs."""
    found = [b""]
    for given in inputs:
        line = msgspec.msgpack.encode((found[-1], given.at, given.kind, given.data))
        found.append(blake3(line).digest())
    return found


def title_of(inputs: list[Input]) -> str:
    """What was done, in a few words."""
    seed = seed_of(inputs)
    said = [given.note for given in inputs if given.note and given.note != "scheduling noise"]
    if seed is not None and not said:
        said = [f"seed {seed}"]
    return inert("; ".join(said), _WIDTH) or "as recorded"


# -- futures of curves


def _futures(curve: Curve) -> list[Node]:
    """One node for all futures from one moment."""
    nodes = []
    for at, group in itertools.groupby(curve.draws, key=lambda draw: draw.at):
        draws = list(group)
        counts: Counter[str] = Counter(draw.verdict for draw in draws)
        number = len(draws)
        title = f"{number} future{'' if number == 1 else 's'}: {_shares(counts)}"
        nodes.append(
            Node(
                "futures", at, max(draw.end for draw in draws), title,
                verdict=next((v for v in ("failed", "passed") if counts[v]), ""),
                counts=dict(counts),
                draws=draws, curve=curve,
            )
        )  # fmt: skip
    return nodes


def _shares(counts: Counter[str]) -> str:
    return ", ".join(f"{counts[v]} {v}" for v in ("failed", "passed", "censored") if counts[v])


def told(run: Recording, node: Node) -> str:
    """A node as one line of text."""
    start, end = (format_vtime(at - run.origin) for at in (node.start, node.end))
    reach = f"{start} s" if node.start == node.end else f"{start} s to {end} s"
    verdict = f" ({node.verdict})" if node.verdict and node.kind == "branch" else ""
    return f"{node.title}{verdict}, {reach}"
