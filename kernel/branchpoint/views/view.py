"""What all views have in common: a widget with a name of its own, and a static picture of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any, ClassVar

import anywidget
import traitlets
from ipywidgets import ValueWidget

from branchpoint import showing
from branchpoint.errors import BranchpointError
from branchpoint.timeline.replaying.history import History
from branchpoint.views import identity
from branchpoint.views.turns import Turns

STATIC = "Static view; run the cell to interact."
LARGEST = 200_000
"""Characters of a saved output, at most."""
_FOLDER = Path(__file__).parent / "static"
_WIDGET = "application/vnd.jupyter.widget-view+json"
_UNBUILT = """\
function render({el}) {
  el.textContent = "The views were not built: run make setup, and restart the kernel.";
}
export default { render };
"""

_open: dict[str, View] = {}


def bundle(name: str) -> str:
    """The text of a file made from ``extension/src/views``."""
    path = _FOLDER / name
    if not path.is_file():
        return _UNBUILT if path.suffix == ".js" else ""
    return path.read_text("utf-8")


class View(anywidget.AnyWidget, ValueWidget):
    """A widget that shows something of a recording. It composes with those of ipywidgets: in boxes,
    with ``interact(look, at=view)``, and ``view.observe(act, "value")``; ``value`` is the moment
    that was chosen in it last, None while there is none.

    A subclass has a ``kind``, ``_esm``, ``_fallback_html`` and ``__repr__``, and answers what its
    browser part asks in methods ``_on_<what>(message)``.
    """

    kind: ClassVar[str] = ""
    value = traitlets.Any(None, read_only=True)
    _releases: tuple[Callable[[], None], ...] = ()

    def __init__(self, **traits: Any) -> None:
        name = identity.next_name(self.kind)
        old = _open.pop(name, None)
        if old is not None:
            old.close()
        self._turns = Turns()
        super().__init__(model_id=name, **traits)
        _open[name] = self
        self.on_msg(self._asked)
        if self.has_trait("chosen"):
            self.observe(self._tell_chosen, "chosen")

    def _tell_chosen(self, _: Any) -> None:
        moment = getattr(self, "moment", None)
        self.set_trait("value", moment)
        if moment is not None:
            showing.chosen(moment)

    def when_closed(self, release: Callable[[], None]) -> None:
        """Have ``release()`` called when this view is closed."""
        self._releases = (*self._releases, release)

    def _follow(self, history: History, look: Callable[[], None], every: float) -> None:
        """Have ``look()`` called while time passes in a branch, each ``every`` wall seconds at
        most, and when it stands again.
        """
        looked = 0.0

        def grew(standing: bool) -> None:
            nonlocal looked
            now = time.monotonic()
            if standing or now - looked >= every:
                looked = now
                look()

        history.watchers.append(grew)
        self.when_closed(lambda: history.watchers.remove(grew))

    def close(self) -> None:
        """Let go of the browser's part; what was displayed stays as a static picture."""
        releases, self._releases = self._releases, ()
        for release in releases:
            release()
        super().close()

    def _asked(self, _: Any, message: Any, __: Any) -> None:
        """Answer a message of the browser. It is ours, but what it says is checked anyway."""
        if not isinstance(message, dict):
            return
        answer = getattr(self, f"_on_{message.get('ask')}", None)
        if answer is None:
            return
        try:
            with self._turns.wait(message.get("turn")):
                answer(message)
        except BranchpointError as error:
            self.send({"answer": "error", "text": str(error)})
        except (TypeError, ValueError, LookupError, AttributeError, OverflowError):
            self.send({"answer": "error", "text": "this request cannot be understood"})
        finally:
            self.send({"answer": "done"})  # so that nobody waits where nothing has changed

    # -- static

    def _fallback_html(self) -> str:
        """What a reader sees where no kernel runs: HTML without script, that nothing acts in."""
        raise NotImplementedError

    def _static(self) -> dict[str, str]:
        plain = f"{repr(self)[: LARGEST // 4]}\n{STATIC}"
        html = self._fallback_html()
        if len(html) > LARGEST // 2:
            html = f"<pre>{escape(plain)}</pre>"
        return {"text/html": f"{html}<p><small>{STATIC}</small></p>", "text/plain": plain}

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        view = {"version_major": 2, "version_minor": 1, "model_id": self.model_id}
        return {_WIDGET: view, **self._static()}, {}
