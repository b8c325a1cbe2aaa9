"""A test run that is killed leaves nothing behind."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path

from conftest import START, Server, ask

RUN = """
import json, os, pathlib, signal, sys
sys.path.insert(0, sys.argv[1])
from conftest import serving
with serving("jupyterlab", pathlib.Path(sys.argv[2]), dict(os.environ)) as server:
    print(server.url, server.token, server.pid, flush=True)
    signal.pause()
"""


def ended(pidfd: int) -> bool:
    """Whether a process has ended, or does so soon."""
    waiting = select.poll()
    waiting.register(pidfd, select.POLLIN)
    return bool(waiting.poll(START * 1000))


def test_a_killed_run_leaves_neither_server_nor_kernel(
    jupyter: dict[str, str], tmp_path: Path
) -> None:
    command = [sys.executable, "-c", RUN, str(Path(__file__).parent), str(tmp_path)]
    run = subprocess.Popen(command, env=jupyter, stdout=subprocess.PIPE, text=True)
    try:
        assert run.stdout is not None
        url, token, pid = run.stdout.readline().split()
        server = Server(url, token, tmp_path, int(pid))
        ask(server, "kernels", b'{"name": "branchpoint"}')
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        assert len(children) == 1
        left = [os.pidfd_open(int(each)) for each in (pid, *children)]
    finally:
        run.kill()
        run.communicate()
    assert all(ended(each) for each in left)
