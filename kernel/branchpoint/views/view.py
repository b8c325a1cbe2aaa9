"""What all views have in common: a widget with a fixed name, and a static picture of it."""

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
"""Most characters of a saved output."""
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
    """A widget that shows something of a recording. It works together with other widgets: in boxes
    of ipywidgets, with ``interact(look, at=view)`` and with ``view.observe(act, "value")``.
    ``value`` is the moment that was chosen last, None when nothing was chosen.

    A subclass defines ``kind``, ``_esm``, ``_fallback_html`` and ``__repr__``, and answers requests
    of its browser part in methods ``_on_<request>(message)``.
    """

    kind: ClassVar[str] = ""
    value = traitlets.Any(None, read_only=True)
    _releases: tuple[Callable[[], None], ...] = ()
    _followers: tuple[Callable[[], None], ...] = ()

    def __init__(self, **traits: Any) -> None:
        name = identity.next_name(self.kind)
        old = _open.pop(name, None)
        if old is not None:
            old.close()
        self._turns = Turns()
        super().__init__(model_id=name, **traits)
        _open[name] = self
        self.on_msg(self._asked)

    def _tell_chosen(self) -> None:
        """Call this when somebody has chosen something, even if it was chosen before. What is only
        shown in another way is not told: elsewhere, something else may be chosen by then.
        """
        moment = getattr(self, "moment", None)
        self.set_trait("value", moment)
        if moment is not None:
            showing.chosen(moment)
        for act in self._followers:
            act()

    def when_chosen(self, act: Callable[[], None]) -> None:
        """Call ``act()`` whenever something is chosen in this view."""
        self._followers = (*self._followers, act)

    def when_closed(self, release: Callable[[], None]) -> None:
        """Call ``release()`` when this view is closed."""
        self._releases = (*self._releases, release)

    def _follow(self, history: History, look: Callable[[], None], every: float) -> None:
        """Call ``look()`` while time passes in a branch, at most once in ``every`` wall seconds,
        and when time has stopped.
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
        """Close the browser part of the view; the static picture in the notebook stays."""
        releases, self._releases = self._releases, ()
        for release in releases:
            release()
        super().close()

    def _asked(self, _: Any, message: Any, __: Any) -> None:
        """Answer a message of our browser code. Its content is checked all the same."""
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
            self.send({"answer": "error", "text": "the kernel did not understand this request"})
        finally:
            self.send({"answer": "done"})  # so that the page does not wait when nothing changes

    # -- static

    def _fallback_html(self) -> str:
        """The static picture, for readers without a kernel: HTML without scripts or controls."""
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
