"""The computers of a ``dask.distributed`` cluster, and what they have of ours.

Every computer of the cluster has Branchpoint, QEMU and the optional packages ``[cluster]``; what a
recording needs is sent there once (:mod:`parcels`). Everybody who may use a cluster may run any
code on it, so a failure is sent there as it is to our own processes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from branchpoint import progress
from branchpoint.errors import BranchpointError
from branchpoint.futures.running import parcels
from branchpoint.timeline.recording import Recording

_PATIENCE = 20  # seconds in which a scheduler must answer, and workers come back


class Computers:
    """A connection to a cluster. The cluster itself goes on when it is closed."""

    def __init__(self, address: str) -> None:
        """``address`` is that of the cluster's scheduler, such as ``tcp://10.0.0.1:8786``.

        :raises BranchpointError: when it cannot be reached, or has no workers.
        """
        try:
            import distributed
        except ImportError:
            raise BranchpointError(
                "a cluster needs the package dask.distributed",
                "pip install 'branchpoint[cluster]'",
            ) from None
        try:
            self.client: Any = distributed.Client(address, timeout=_PATIENCE, set_as_default=False)
        except (OSError, ValueError) as problem:
            raise BranchpointError(f"there is no cluster at {address}: {problem}") from None
        self._seen = 0.0  # when workers were there last, wall seconds
        if not self.threads():
            self.client.close()
            raise BranchpointError(f"the cluster at {address} has no workers")

    def threads(self) -> dict[str, int]:
        """How many jobs at a time each dask worker runs now, by its address. They come and go.

        :raises BranchpointError: when there was none for 20 seconds.
        """
        found: dict[str, int] = self.client.nthreads()
        if found:
            self._seen = time.monotonic()
        elif self._seen and time.monotonic() > self._seen + _PATIENCE:
            raise BranchpointError(
                "the cluster has lost all its workers",
                "start some, and ask again: what is known by then is kept",
            )
        return found

    def send(self, run: Recording) -> str:
        """Send every computer what it lacks to run futures of a recording; gives the recording's
        digest, by which they know it.
        """
        hosts: dict[str, list[str]] = {}
        for address in self.threads():
            hosts.setdefault(address.rpartition(":")[0], []).append(address)
        wanted = parcels.parcels(run)
        for parcel in wanted:
            name = parcel.kind, parcel.digest
            known = self.client.run(parcels.here, *name)
            lacking = [each[0] for each in hosts.values() if not any(known[a] for a in each)]
            if lacking:
                offset = 0
                with progress.task(
                    f"sending the {parcel.kind} to {len(lacking)} computers"
                ) as task:
                    for piece, whole in parcel.pieces():
                        self.client.run(
                            parcels.receive, *name, offset, piece, whole, workers=lacking
                        )
                        offset += len(piece)
                        task.update(note=f"{offset >> 20} MiB")
        return wanted[-1].digest  # the recording comes last

    def tell(self, function: Callable[..., None], *arguments: Any) -> None:
        """Call ``function(*arguments)`` in each dask worker, if the cluster is still there."""
        try:
            self.client.run(function, *arguments)
        except (OSError, TimeoutError):
            return

    def close(self) -> None:
        """Disconnect."""
        self.client.close()
