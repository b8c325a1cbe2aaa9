"""The multiverse map: all branches of a recording as a tree, to choose and compare them."""

from __future__ import annotations

from typing import Any

import traitlets

from branchpoint.clock import SECOND, format_vtime
from branchpoint.errors import BranchpointError
from branchpoint.events import tables
from branchpoint.futures import curves
from branchpoint.futures.draws import Draw
from branchpoint.timeline.branch import Branch
from branchpoint.timeline.failures import failure as failure_of
from branchpoint.timeline.moment import Moment
from branchpoint.timeline.recording import Recording
from branchpoint.timeline.seeds import SEED
from branchpoint.views.rows import FIRST, RowsView
from branchpoint.views.tree import Node, done, grow, steps, told
from branchpoint.views.view import bundle

_STATIC = 40  # rows of the static view
_CAUSES = 200  # characters
_INPUTS = 100  # listed inputs of a branch


class MapView(RowsView):
    """A map, made by ``run.map()``.

    ``view.moment`` is the end of the chosen branch; ``view.update()`` also draws branches that
    were made later.
    """

    kind = "map"
    _esm = bundle("map.js")
    state = traitlets.Dict().tag(sync=True)
    chosen = traitlets.Dict().tag(sync=True)

    def __init__(self, run: Recording, *, failure: Any = "exit:*", earlier: bool = False) -> None:
        self._run = run
        self._earlier = earlier
        self._failure = failure_of(failure)
        self._node: Node | None = None
        self._draw: Draw | None = None
        self._nodes: list[Node] = []
        self._left_out = 0
        super().__init__()
        self.update()

    # -- for Python

    def update(self, *, earlier: bool | None = None) -> MapView:
        """Draw the tree as it is now; ``earlier`` as for ``run.map``, None keeps its value."""
        run = self._run
        if earlier is not None:
            self._earlier = earlier
        drawn, noted = curves.asked(run), run.named
        every, all_noted = curves.known(run), {**run.files.futures, **run.named}
        more = len(every) > len(drawn) or len(all_noted) > len(noted)
        if self._earlier:
            drawn, noted = every, all_noted
        self._nodes, self._left_out = grow(run, noted.values(), drawn, self._failure)
        self._node = self._draw = None
        self.chosen = {}
        self._tell_chosen()
        origin = run.origin
        self.state = {
            "failure": self._failure.name,
            "earlier": self._earlier,
            "more": more,
            "span": [run.earliest - origin, max(n.end for n in self._nodes) - origin],
            "left_out": self._left_out,
            "nodes": [
                [n.kind, n.start - origin, n.end - origin, n.parent, n.depth, n.verdict, n.title,
                 [n.counts.get(v, 0) for v in ("failed", "passed", "censored")]]
                for n in self._nodes
            ],
        }  # fmt: skip
        return self

    @property
    def id(self) -> str:
        """The id of the end of the chosen branch or future; "" when nothing was chosen, or when it
        has no id.
        """
        node, draw = self._node, self._draw
        if draw is not None and node is not None and node.curve is not None:
            return node.curve.id_of(draw)
        return "" if node is None else self._id_of(node)

    @property
    def moment(self) -> Moment | None:
        """The end of the chosen branch or future; None when nothing was chosen. It is run again
        when no variable holds it.

        :raises BranchpointError: when the chosen branch was released since the map was drawn.
        """
        node, draw = self._node, self._draw
        if draw is not None and node is not None and node.curve is not None:
            return node.curve.branch(node.curve.draws.index(draw)).end
        if node is None or node.kind == "futures":
            return None
        branch = self._held(node)
        return branch.end if branch is not None else self._run.at(self._id_of(node))

    @property
    def branch(self) -> Branch | None:
        """The chosen branch: itself when a variable holds it, otherwise a new one from its end.

        :raises BranchpointError: when the chosen branch was released since the map was drawn.
        """
        held = self._held(self._node) if self._node is not None else None
        if held is not None:
            return held
        moment = self.moment
        return moment.branch() if moment is not None else None

    def select(self, number: int, future: int | None = None) -> MapView:
        """Choose a row of the tree and, if it has the futures of a curve, one of them.

        :raises BranchpointError: when there is no such row or future.
        """
        if not 0 <= number < len(self._nodes):
            last = len(self._nodes) - 1
            raise BranchpointError(f"the map has no row {number}", f"rows are 0 to {last}")
        self._choose(number)
        if future is not None:
            self._choose_future(future)
        self._tell_chosen()
        return self

    # -- what it shows

    def _tell_chosen(self) -> None:
        # To get the moment of a branch that nobody holds, it would have to run again.
        if self._node is not None and (self._node.held is not None or self._node.parent < 0):
            super()._tell_chosen()
        else:
            self.set_trait("value", None)

    def _held(self, node: Node) -> Branch | None:
        """The branch of a node, if the node is a branch that a variable held when it was drawn.

        :raises BranchpointError: when the branch was released since then.
        """
        if node.held is None:
            return None
        history = node.held()
        if history is None:
            raise BranchpointError("this branch was released", "update the map: view.update()")
        return Branch(self._run, history)

    def _id_of(self, node: Node) -> str:
        if node.kind == "recording":
            return self._run.end.id
        branch = self._held(node)
        if branch is not None:
            return branch.end.id
        if node.future is not None:
            return f"{node.future.id}@{format_vtime(node.end - self._run.origin)}"
        return ""

    def _choose(self, number: int) -> None:
        node = self._nodes[number]
        self._node, self._draw = node, None
        self._generation += 1
        self.chosen = {
            "generation": self._generation,
            "number": number,
            "id": self._id_of(node),
            "title": node.title,
            "inputs": self._inputs(node),
            "count": len(node.draws),
            "rows": self._rows(0, FIRST),
            "future": -1,
        }

    def _choose_future(self, number: int) -> None:
        if self._node is None or not 0 <= number < len(self._node.draws):
            raise BranchpointError(f"this row of the map has no future {number}")
        self._draw = self._node.draws[number]
        code = ""
        if not self.id and self._node.curve is not None:  # ids do not contain a curve's noise
            row = self._node.curve.draws.index(self._draw)
            code = f"curve.branch({row})"
        self.chosen = {**self.chosen, "future": number, "id": self.id, "code": code}

    def _inputs(self, node: Node) -> list[list[Any]]:
        """What was done in a branch: ns since vtime 0 and a description."""
        given = node.future.inputs if node.future is not None else []
        branch = self._held(node)
        if branch is not None:
            history = branch._history
            given = history.inputs[history.fork.count : history.tip.count]
        given = done(self._run, given)
        told = [i for i in given if i.kind != SEED or i.note.startswith("seed")]
        return [[at - self._run.origin, words] for at, words in steps(told)[:_INPUTS]]

    def _rows(self, start: int, count: int) -> list[list[Any]]:
        """Futures of the chosen node: seed, verdict, seconds until it failed, causes, id."""
        if self._node is None or self._node.curve is None:
            return []
        name = self._node.curve.id_of
        return [
            [
                str(draw.seed),
                draw.verdict,
                "" if draw.failed_at is None else f"{(draw.failed_at - draw.at) / SECOND:.3f}",
                "; ".join(draw.causes)[:_CAUSES],
                name(draw),
            ]
            for draw in self._node.draws[start : start + count]
        ]

    # -- requests of the browser

    def _on_update(self, message: dict[str, Any]) -> None:
        self.update(earlier=bool(message["earlier"]))

    def _on_select(self, message: dict[str, Any]) -> None:
        self.select(int(message["number"]))

    def _on_future(self, message: dict[str, Any]) -> None:
        self._choose_future(int(message["number"]))

    # -- static

    def _fallback_html(self) -> str:
        origin = self._run.origin
        rows = [
            (
                "\u2003" * n.depth + n.title,
                n.verdict if n.kind == "branch" else "",
                format_vtime(n.start - origin),
                format_vtime(n.end - origin),
            )
            for n in self._nodes[:_STATIC]
        ]
        table = tables.html(("branch", "verdict", "from (s)", "to (s)"), rows)
        return table + tables.note(self._foot())

    def _foot(self) -> str:
        count = len(self._nodes) + self._left_out - 1
        more = max(count + 1 - _STATIC, 0)
        words = f"{count} branch{'' if count == 1 else 'es'} of {self._run.path.name}"
        return words + (f", {more} not shown" if more else "")

    def __repr__(self) -> str:
        lines = ["  " * n.depth + told(self._run, n) for n in self._nodes[:_STATIC]]
        return "\n".join([*lines, self._foot()])
