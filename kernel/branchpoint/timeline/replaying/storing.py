"""States of a recording's machine, to and from its checkpoints."""

from __future__ import annotations

import numpy as np

from branchpoint.machine.pages import TEMPLATE, PagePool, Slots
from branchpoint.machine.state import State
from branchpoint.store.checkpoints import AS_BOOTED, Checkpoint
from branchpoint.timeline.directory import RecordingFiles


def load(files: RecordingFiles, at: int, booted: Slots, pool: PagePool) -> State | None:
    """The state of the checkpoint at ``at``; None when its digest is another one.

    ``booted`` are the slots of the boot snapshot; pages that are new come into ``pool``.

    :raises RecordingError: when the checkpoint is damaged.
    """
    checkpoint = files.checkpoint(at)
    numbers, hashes = files.pages_at(at)
    fresh = ~pool.known(hashes)
    if fresh.any():
        pool.intern(numbers[fresh], files.pages.get(hashes[fresh]), hashes[fresh])
    slots = booted.copy()
    slots[numbers] = pool.slots_of(numbers, hashes)
    state = State(at, checkpoint.devices, slots)
    noted = files.digests.get(at, checkpoint.digest)
    return state if state.digest(pool) == checkpoint.digest == noted else None


def store(
    files: RecordingFiles, state: State, before: State | None, booted: Slots, pool: PagePool
) -> None:
    """Add a checkpoint of ``state``, as the difference to the one ``before``."""
    slots_before = booted if before is None else before.slots
    numbers = np.flatnonzero(slots_before != state.slots).astype(np.uint32)
    slots = state.slots[numbers]
    as_booted = slots == TEMPLATE
    hashes = np.zeros((len(numbers), len(AS_BOOTED)), np.uint8)
    hashes[~as_booted] = pool.hashes(slots[~as_booted])
    pages = np.zeros((len(numbers), 4096), np.uint8)
    pages[~as_booted] = pool.pages(slots[~as_booted])
    parent = None if before is None else before.at
    digest = state.digest(pool)
    files.add_checkpoint(
        Checkpoint(state.at, parent, digest, 0, state.devices, numbers, hashes), pages
    )
