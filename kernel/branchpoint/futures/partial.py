"""An interrupted call returns what it has: of an hour of futures, all that were run.

In a notebook, ``curve = run.likelihood(...)`` then sets ``curve``, although the cell ends there; a
script goes on with its next line. A second interrupt ends the script, too, and so does one before
there is anything to return.
"""

from __future__ import annotations

from branchpoint import progress

AGAIN = "calling it again goes on"


def give(stop: KeyboardInterrupt, known: int, total: int | None = None) -> None:
    """Say that an interrupted call returns ``known`` futures of ``total`` (None: not known).

    :raises KeyboardInterrupt: when there are none, so that there is nothing to return.
    """
    of = "" if total is None else f" of about {total}"
    words = f"stopped with {known}{of} futures; {AGAIN}"
    if not known:
        if not getattr(stop, "__notes__", ()):
            stop.add_note(words)
        raise stop
    progress.stopped(words)
