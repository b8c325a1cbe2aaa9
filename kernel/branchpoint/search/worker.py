"""A process that runs stretches for an exploration: ``python -m branchpoint.search.worker FD``.

It lives in a session of its own, so that a Ctrl-C meant for the user's program does not reach it,
and ends as soon as the other end of its connection is gone; its emulator ends with it.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
import traceback
from multiprocessing.connection import Connection

from branchpoint.futures.running import messages as packing
from branchpoint.search.exploration import Exploration
from branchpoint.search.messages import Answer, Learn, Run, Setup, receive, send
from branchpoint.search.stretches import Stretches

Task = Learn | Run


def work(link: Connection, tasks: queue.SimpleQueue[Task], setup: Setup) -> None:
    """Do one task after another, for ever."""
    failures = [packing.unpacked(data) for data in setup.failures]
    with Exploration(setup.exploration) as found:
        stretches = Stretches(found.tree, found.open_base, failures, setup.signals, setup.memory)
        while True:
            match tasks.get():
                case Learn(node):
                    if node.number > len(found.tree):  # it may be on disk already
                        found.tree.add(node)
                    stretches.learn(node)
                case Run(parent, seed, length, ending):
                    send(link, Answer(stretches.run(parent, seed, length, ending)))
                    stretches.spare()


def _listen(link: Connection, tasks: queue.SimpleQueue[Task]) -> None:
    """Take in tasks while a stretch runs, and notice at once when nobody wants them any more."""
    try:
        while isinstance(message := receive(link), Learn | Run):
            tasks.put(message)
    except Exception:
        traceback.print_exc()  # the process would wait for ever for a task that nobody takes in
    os._exit(0)


def main(fd: int) -> None:
    """Work for whoever holds the other end of the connection ``fd``."""
    link = Connection(fd)
    setup = receive(link)
    if not isinstance(setup, Setup):
        return
    sys.path += [path for path in setup.paths if path not in sys.path]
    tasks: queue.SimpleQueue[Task] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(link, tasks), daemon=True).start()
    try:
        work(link, tasks, setup)
    except Exception as error:
        send(link, packing.Problem.of(error))


if __name__ == "__main__":
    main(int(sys.argv[1]))
