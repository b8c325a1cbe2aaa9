"""Other computers, as far as a folder of their own makes one."""

from __future__ import annotations

import os
from pathlib import Path

from distributed import LocalCluster
from equipping import equip, link

import branchpoint
from branchpoint.cache import cache_dir


def cluster_of(count: int, cache: Path) -> LocalCluster:
    """So many dask workers, which have only this program and an emulator."""
    equip(cache)
    program = os.pathsep.join(map(str, Path(branchpoint.__file__).parents[1:2]))
    environment = {"BRANCHPOINT_CACHE": str(cache), "PYTHONPATH": program}
    return LocalCluster(
        n_workers=count, threads_per_worker=1, dashboard_address=None, env=environment
    )


def equip_with_images(cache: Path) -> None:
    """Put all that was built or downloaded on this computer into an empty cache."""
    for name in ("debian", "guest", "systems", "tools"):
        link(cache_dir() / name, cache / name)
