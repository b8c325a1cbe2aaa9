"""System calls that containers are refused, as the usual engines refuse them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import branchpoint as bp
from branchpoint import bash

COMPOSE = """
name: confined
x-branchpoint: {ram: 512m}
x-branchpoint-debian: {packages: [python3-minimal, libpython3-stdlib]}
services:
  usual: {command: [sleep, infinity]}
  admin: {command: [sleep, infinity], cap_add: [SYS_ADMIN]}
  free: {command: [sleep, infinity], security_opt: ["seccomp:unconfined"]}
  all: {command: [sleep, infinity], privileged: true}
"""
# What the first process of a container may do, from a child of it.
ASK = """
import ctypes, errno, os, sys, threading
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    ctypes.set_errno(0)
    libc.syscall(number, *arguments)
    return errno.errorcode.get(ctypes.get_errno(), "done")
print("keyctl", call(250, 0, -3, 0))
print("unshare", call(272, 0x04000000))
print("clone", call(56, 0x04000000 | 17, 0, 0, 0, 0) if os.fork() == 0 else os.wait() and "-")
print("clone3", call(435, 0, 0))
print("io_uring", call(425, 1, 0))
print("vsock", call(41, 40, 1, 0))
thread = threading.Thread(target=lambda: print("thread runs"))
thread.start(); thread.join()
"""


@pytest.fixture(scope="module")
def branch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[bp.Branch]:
    folder = tmp_path_factory.mktemp("confined")
    (folder / "ask.py").write_text(ASK)
    text = COMPOSE.replace("[sleep, infinity]", "[sh, -c, python3 /ask.py; exec sleep infinity]")
    text = text.replace("}\nservices", ", files: {/ask.py: ./ask.py}}\nservices")
    (folder / "compose.yaml").write_text(text)
    with bp.record(folder, folder / "confined.branchpoint", seed=1, duration=3) as run:
        yield run.end.branch()


def said(branch: bp.Branch, container: str) -> dict[str, str]:
    lines = branch.events.where(container=f"{container}.1", type="log", stream="out")
    return dict(event.text.split() for event in lines)


def test_what_the_usual_profile_refuses_is_refused(branch: bp.Branch) -> None:
    found = said(branch, "usual")
    assert found["keyctl"] == found["unshare"] == found["io_uring"] == found["vsock"] == "EPERM"
    assert found["clone3"] == "ENOSYS" and found["thread"] == "runs"


def test_a_capability_allows_what_belongs_to_it(branch: bp.Branch) -> None:
    found = said(branch, "admin")
    assert found["unshare"] == "done" and found["clone3"] != "ENOSYS"
    assert found["keyctl"] == "EPERM"


@pytest.mark.parametrize("container", ["free", "all"])
def test_it_can_be_lifted(branch: bp.Branch, container: str) -> None:
    found = said(branch, container)
    assert found["keyctl"] != "EPERM" and found["clone3"] != "ENOSYS"
    assert found["thread"] == "runs"


def test_the_kernel_says_who_is_confined(branch: bp.Branch) -> None:
    for container, mode in (("usual", "2"), ("free", "0"), ("all", "0")):
        done = bash("grep ^Seccomp: /proc/1/status").run(branch, container)
        assert done.stdout.split()[-1] == mode
