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
from branchpoint.futures.curve import Curve
from branchpoint.futures.draws import Draw
from branchpoint.store.manifest import Input
from branchpoint.timeline.commands import terminal
from branchpoint.timeline.directory import Future
from branchpoint.timeline.failures import Failure
from branchpoint.timeline.judges import Stretch
from branchpoint.timeline.recording import Recording
from branchpoint.timeline.replaying.history import History
from branchpoint.timeline.seeds import seed_of

MOST = 400
"""Most nodes of a tree. All futures of a curve from one moment are one node."""
_WIDTH = 90  # characters of a title
AS_RECORDED = "as recorded"
"""The title of a branch in which nothing was done."""
_UNSAID = "scheduling noise", "resize to "  # what no title mentions


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
    run: Recording, noted: Iterable[Future], curves: list[Curve], failure: Failure | None
) -> tuple[list[Node], int]:
    """The nodes, each before its children, the recording first; and how many are left out.

    Branches that variables hold are judged by ``failure``; with None they have no verdict.
    """
    root = Node("recording", run.earliest, run.manifest.end, "the recording")
    _noted(run, noted, root, _held(run, failure, root))
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

_Places = dict[tuple[int, bytes], Node]
"""Nodes by where they leave the recording (ns), and a digest of all that they were given then."""


def _held(run: Recording, failure: Failure | None, root: Node) -> _Places:
    """Add the branches in this process. Returns their nodes by the places they went through."""
    found: dict[int, Node] = {}
    histories = [branch._history for branch in run.branches]
    for history in histories:
        given = done(run, history.inputs[history.fork.count : history.tip.count])
        node = Node("branch", history.fork.at, history.tip.at, title_of(given), held=ref(history))
        if failure is not None:
            node.verdict = _verdict(run, history, failure)
        found[id(history)] = node
    places: _Places = {}
    for history in histories:
        above = history.parent
        while above is not None and id(above) not in found:
            above = above.parent
        parent = root if above is None else found[id(above)]
        node = found[id(history)]
        parent.children.append(node)
        left = min(each.fork.at for each, _ in history.lineage(history.tip) if each.parent)
        since = history.point(left).count
        keys = _keys(history.inputs[since : history.tip.count])
        for key in keys[max(history.fork.count - since, 0) :]:
            places.setdefault((left, key), node)
    return places


def _verdict(run: Recording, history: History, failure: Failure) -> str:
    """Whether the failure has happened since the fork; "" while the branch has not moved."""
    if history.tip.at == history.fork.at:
        return ""
    columns = history.log.columns()
    split = int(columns.at.searchsorted(history.fork.at, "right"))
    past = cut(columns, 0, split)
    judge = failure.judge(Stretch(history.fork.at, history.tip.at, run.origin, past))
    new = (columns.event(place, run.origin) for place in range(split, len(columns)))
    failed = judge.feed(new) is not None or judge.settle(history.tip.at) is not None
    return "failed" if failed else "passed"


# -- branches that are noted with the recording


def _noted(run: Recording, noted: Iterable[Future], root: Node, places: _Places) -> None:
    """Add the branches whose ids were shown, each to what it continues.

    An id is noted at each tip that a branch had. So one that only one other continues is no branch
    of its own, but the beginning of that one.
    """
    made: dict[Node, int] = {}  # how many inputs are those of what it continues
    for future in sorted(noted, key=lambda f: (f.at, len(f.inputs), f.id)):
        keys = _keys(future.inputs)
        if future.without:
            keys[-1] = blake3(b"without" + _keys([*future.inputs, *future.without])[-1]).digest()
        if (future.at, keys[-1]) in places:
            continue
        last = future.inputs[-1].at if future.inputs else future.at
        parent, fork, shared = root, future.at, 0
        for count in range(len(future.inputs) - 1, 0, -1):
            above = places.get((future.at, keys[count]))
            if above is not None:
                parent, fork, shared = above, future.inputs[count].at, count
                break
        node = Node("noted", fork, max(last, fork), "", future=future)
        places[future.at, keys[-1]] = node
        made[node] = shared
        parent.children.append(node)
    for node in reversed(made):  # what continues it comes after it
        if len(node.children) == 1:
            (longer,) = node.children
            node.future, node.end, node.children = longer.future, longer.end, longer.children
    for node, shared in made.items():
        if node.future is not None:
            left_out = [f"without {each.note or each.kind}" for each in node.future.without]
            given = title_of(done(run, node.future.inputs[shared:]))
            said = [*left_out, *([given] if given != AS_RECORDED or not left_out else [])]
            node.title = inert("; ".join(said), _WIDTH)


def _keys(inputs: list[Input]) -> list[bytes]:
    """Digests that identify the first 0, 1, 2, ... of these inputs."""
    found = [b""]
    for given in inputs:
        line = msgspec.msgpack.encode((found[-1], given.at, given.kind, given.data))
        found.append(blake3(line).digest())
    return found


def done(run: Recording, inputs: Iterable[Input]) -> list[Input]:
    """Those that the user gave a branch; it also gets what the recording got on its way."""
    recorded = set(run.manifest.inputs)
    return [each for each in inputs if each not in recorded]


def title_of(inputs: list[Input]) -> str:
    """What was done, in a few words."""
    seed = seed_of(inputs)
    noted = [given for given in inputs if given.note and not given.note.startswith(_UNSAID)]
    said = [words for _, words in steps(noted)]
    if seed is not None and not said:
        said = [f"seed {seed}"]
    return inert("; ".join(said), _WIDTH) or AS_RECORDED


def steps(inputs: list[Input]) -> list[tuple[int, str]]:
    """What was done and when (absolute ns). Keys typed one after another are one step."""
    found: list[tuple[int, str]] = []
    keys, into = b"", -1  # typed so far, and the terminal's number
    for given in inputs:
        typed = terminal.keys_of(given)
        if typed is None:
            keys, into = b"", -1
            found.append((given.at, given.note or given.kind))
            continue
        number, more = typed
        at = found.pop()[0] if number == into else given.at
        keys, into = (keys if number == into else b"") + more, number
        found.append((at, terminal.typing(keys)))
    return found


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
