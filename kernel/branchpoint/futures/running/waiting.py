"""Jobs that wait for a worker, and which worker should get which."""

from __future__ import annotations

from collections import deque
from collections.abc import Set
from itertools import chain
from typing import Generic, TypeVar

T = TypeVar("T")


class Waiting(Generic[T]):
    """Jobs by their fork. Rewinding to a fork is cheap for a worker that was there before. So each
    worker should stay with the forks that it knows, and take those of others only when there are no
    new ones.
    """

    def __init__(self) -> None:
        self._forks: dict[int, deque[T]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, at: int, job: T) -> None:
        """Add a job from the fork ``at``."""
        self._forks.setdefault(at, deque()).append(job)
        self._count += 1

    def take(self, known: set[int], taken: Set[int]) -> T:
        """A job for a worker that knows the forks ``known``, while others know ``taken``.

        Its fork is added to ``known``. There must be a job.
        """
        mine = (at for at in self._forks if at in known)
        fresh = (at for at in self._forks if at not in taken)
        at = next(chain(mine, fresh, self._forks))
        known.add(at)
        queue = self._forks[at]
        job = queue.popleft()
        if not queue:
            del self._forks[at]
        self._count -= 1
        return job
