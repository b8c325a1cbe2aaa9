"""Where things live that can be made again: images, boot snapshots, the compiled plugin."""

from __future__ import annotations

import os
from pathlib import Path


def cache_dir() -> Path:
    """The folder for all that can be rebuilt; made when missing.

    ``$BRANCHPOINT_CACHE``, else ``branchpoint`` in the user's cache folder.
    """
    chosen = os.environ.get("BRANCHPOINT_CACHE")
    if chosen:
        path = Path(chosen)
    else:
        path = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "branchpoint"
    path.mkdir(parents=True, exist_ok=True)
    return path
