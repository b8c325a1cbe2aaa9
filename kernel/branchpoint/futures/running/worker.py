"""A process that runs futures for a pool: ``python -m branchpoint.futures.running.worker FD``.

It lives in a session of its own, so that a Ctrl-C meant for the user's program does not reach it,
and ends as soon as the other end of its socket is gone; its emulator ends with it.
"""

from __future__ import annotations

import os
import queue
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path

from branchpoint.futures.running.future import Futures, FutureSpec
from branchpoint.futures.running.messages import Answer, Ask, Link, Problem, Ready, Setup, unpacked
from branchpoint.timeline.recorder.record import open_recording
from branchpoint.timeline.recording import Recording

MOST_PAGES = 1 << 30  # bytes of memory pages kept for the states of forks, before starting afresh


def work(link: Link, jobs: Callable[[], FutureSpec], setup: Setup) -> None:
    """Run one job after another, for ever."""
    failure = unpacked(setup.failure)
    path = Path(setup.recording)
    shares = None
    while True:
        with open_recording(path, Recording, write=False) as run:
            futures = Futures(run, failure, setup.horizon_of, setup.noise)
            if shares is None:
                link.send(Ready())
            else:
                futures.shares = shares
            while True:
                outcome = futures.run(jobs())
                link.send(Answer(outcome, futures.shares))
                if run.replayer.pool.size > MOST_PAGES:
                    break
            shares = futures.shares


def _listen(link: Link, jobs: queue.SimpleQueue[FutureSpec]) -> None:
    """Take in jobs while a future runs, and notice at once when nobody wants them any more."""
    try:
        while isinstance(message := link.receive(), Ask):
            jobs.put(message.job)
    except Exception:
        traceback.print_exc()  # the process would wait for ever for a job that nobody takes in
    os._exit(0)


def main(fd: int) -> None:
    """Work for whoever holds the other end of socket ``fd``."""
    link = Link(socket.socket(fileno=fd))
    setup = link.receive()
    if not isinstance(setup, Setup):
        return
    sys.path += [path for path in setup.paths if path not in sys.path]
    jobs: queue.SimpleQueue[FutureSpec] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(link, jobs), daemon=True).start()
    try:
        work(link, jobs.get, setup)
    except Exception as error:
        link.send(Problem.of(error))


if __name__ == "__main__":
    main(int(sys.argv[1]))
