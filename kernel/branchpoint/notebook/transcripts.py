"""Terminals in a notebook: the text of the session is shown below, and is saved with the cell."""

from __future__ import annotations

import threading
from html import escape
from typing import TYPE_CHECKING, Any

from branchpoint.timeline.commands.terminal import Terminal

if TYPE_CHECKING:
    from branchpoint.views.terminal import TerminalView

_REST = 1.0  # wall seconds without a change before a transcript is updated


class Transcript:
    """The text below one terminal."""

    def __init__(self, publisher: Any, view: TerminalView) -> None:
        self._publisher = publisher
        self._view = view
        self._kept = ""
        self._timer: threading.Timer | None = None
        self._write(update=False)
        view.when_changed(self._changed)

    def _changed(self) -> None:
        """The terminal has new output: update the transcript when there is a pause."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = threading.Timer(_REST, self._write)
        self._timer.daemon = True
        self._timer.start()

    def _write(self, update: bool = True) -> None:
        text = self._view.transcript
        if update and text == self._kept:
            return
        self._kept = text
        html = f"<details><summary>Transcript</summary><pre>{escape(text)}</pre></details>"
        name = f"transcript-{self._view.model_id}"
        self._publisher.publish(
            {"text/html": html, "text/plain": text},
            {},
            transient={"display_id": name},
            update=update,
        )


def install(shell: Any) -> None:
    """Show a transcript below each terminal that a cell of this shell displays."""

    def show(terminal: Terminal) -> None:
        view = terminal.interact()
        data, metadata = view._repr_mimebundle_()
        shell.display_pub.publish(data, metadata)
        Transcript(shell.display_pub, view)

    shell.display_formatter.ipython_display_formatter.for_type(Terminal, show)
