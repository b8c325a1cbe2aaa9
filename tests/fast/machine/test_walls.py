"""A program in QEMU's place, inside the same sandbox, tries to get out.

Each attempt is first made without the sandbox, where it works, so that a failure means something.
"""

from __future__ import annotations

import errno
import functools
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from branchpoint.errors import MachineError
from branchpoint.machine import engine, sandbox

HERE = Path(__file__).parents[1]
TIMEKEEPER = Path(engine.__file__).with_name("timekeeper")
ROOT = os.geteuid() == 0
USER = 65534 if ROOT else os.geteuid()  # the user that runs the emulator
KILLED = -signal.SIGSYS
LARGEST_FILE = 1 << 20
CONSOLE = 1 << 16
NOT_HELD = 253  # the program's status when it could not build the race
# A place where no user namespace can be made, as on hosts that forbid it to ordinary users.
FORBIDDEN = ("unshare", "--user", "--map-current-user", "--keep-caps", "sh", "-c",
             'echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --ambient-caps -all '
             '--inh-caps -all --bounding-set -all "$@"', "sh")  # fmt: skip

INNER = {
    "create": errno.EACCES,
    "read": errno.EACCES,
    "file": KILLED,
    "grow": errno.EFBIG,
    "connect": KILLED,
    "bind": KILLED,
    "unix": KILLED,
    "send elsewhere": KILLED,
    "fork": KILLED,
    "thread": KILLED,
    "exec": KILLED,
    "kill": KILLED,
    "ptrace": KILLED,
    "memory": errno.ENOMEM,
    "less memory": errno.ENOMEM,
    "shared memory": errno.EPERM,
    "stack": errno.EPERM,
    "address space": errno.ENOMEM,
    "grow stack": errno.ENOMEM,
    "limits": errno.EPERM,
    "ring": KILLED,
    "output": errno.EPERM,
}
"""How each attempt ends inside the inner walls."""
OUTER = {
    "create": errno.EROFS,
    "connect": errno.ENETUNREACH,
    "kill": errno.ESRCH,
    "ptrace": errno.ESRCH,
    "output": errno.EPERM,
}
"""How the attempts end that only the outer walls prevent."""
ORDINARY = ("create", "read", "connect", "kill", "memory")


@functools.cache
def program() -> int:
    """The compiled program, as a descriptor: user nobody may not enter the folders of tests."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "escape"
        sources = [HERE / "programs" / "escape.c", TIMEKEEPER / "confine.c"]
        subprocess.run(
            ["gcc", "-O2", "-Wall", "-pthread", f"-I{TIMEKEEPER}", "-o", output, *sources],
            check=True,
        )
        return os.open(output, os.O_RDONLY)


@contextmanager
def attempted(what: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The target of the attempt, and the descriptors that it needs."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        if what == "create":
            Path(folder).chmod(0o777)
            yield f"{folder}/new", ()
        elif what == "read":
            yield "/etc/passwd", ()
        elif what == "connect":
            with socket.create_server(("127.0.0.1", 0)) as server:
                yield str(server.getsockname()[1]), ()
        elif what in ("send elsewhere", "send back"):
            kind = socket.AF_INET if what == "send elsewhere" else socket.AF_UNIX
            with socket.socket(kind, socket.SOCK_DGRAM) as given:
                yield str(given.fileno()), (given.fileno(),)
        elif what == "grow":
            fd = os.memfd_create("any")
            yield str(fd), (fd,)
            os.close(fd)
        elif what in ("kill", "ptrace"):
            with victim() as pid:
                yield str(pid), ()
        else:
            yield "", ()


@contextmanager
def victim() -> Iterator[int]:
    """Another process of the user that runs the emulator."""
    ours, theirs = os.pipe()
    process = subprocess.Popen(
        ["escape", "out", "victim", str(theirs)],
        executable=f"/proc/self/fd/{program()}",
        pass_fds=[program(), theirs],
        user=USER,
    )
    assert os.read(ours, 1) == b"x"
    yield process.pid
    process.kill()
    process.wait()
    os.close(ours)
    os.close(theirs)


def between_walls(*words: str, fds: tuple[int, ...] = (), said: int | None = None) -> int | None:
    """How the program ended when it was started exactly as the emulator is."""
    fd = sandbox.file_that_cannot_grow("said", CONSOLE) if said is None else said
    command = [f"/proc/self/fd/{program()}", *words]
    emulator = sandbox.start(command, [program(), *fds], fd)
    try:
        return emulator.wait(60)
    finally:
        emulator.kill()
        if said is None:
            os.close(fd)


def as_user(*words: str, fds: tuple[int, ...] = (), before: tuple[str, ...] = ()) -> int:
    """The same as an ordinary user, whoever runs the tests; ``before`` starts the launcher."""
    launcher = os.open(sandbox.launcher(), os.O_RDONLY)
    command = [f"/proc/self/fd/{launcher}", f"/proc/self/fd/{program()}", *words]
    done = subprocess.run(
        [*before, *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        pass_fds=[launcher, program(), *fds],
        env={"PATH": os.environ["PATH"]},
        cwd="/",
        user=USER,
        extra_groups=[] if ROOT else None,
        check=True,
    )
    os.close(launcher)
    pid = int(re.search(rb"started (\d+)", done.stdout)[1])  # type: ignore[index]
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def without_walls(*words: str, fds: tuple[int, ...] = (), user: int = USER) -> int:
    return subprocess.run(
        ["escape", *words],
        executable=f"/proc/self/fd/{program()}",
        pass_fds=[program(), *fds],
        stderr=subprocess.DEVNULL,
        user=user,
    ).returncode


def allowed(*namespaces: str, user: int) -> bool:
    """Whether this kernel lets a user make these namespaces."""
    command = ["unshare", *namespaces, "true"]
    return subprocess.run(command, capture_output=True, user=user).returncode == 0


@pytest.mark.parametrize("what", INNER)
def test_without_walls_it_works(what: str) -> None:
    with attempted(what) as (on, fds):
        status = without_walls("out", what, on, fds=fds)
    if what == "ring" and status in (errno.EPERM, errno.ENOSYS):
        pytest.skip("io_uring is not allowed here to anybody")
    assert status == 0


@pytest.mark.parametrize("what", INNER)
def test_between_the_walls_nothing_gets_out(what: str) -> None:
    with attempted(what) as (on, fds):
        assert between_walls("in", what, on, fds=fds) == INNER[what]


@pytest.mark.parametrize("what", OUTER)
def test_the_outer_walls_alone_hold(what: str) -> None:
    if not allowed("--net", *([] if ROOT else ["--user"]), user=os.geteuid()):
        pytest.skip("namespaces are not allowed here")
    with attempted(what) as (on, fds):
        assert between_walls("out", what, on, fds=fds) == OUTER[what]


@pytest.mark.parametrize("what", ORDINARY)
def test_the_walls_stand_for_an_ordinary_user_too(what: str) -> None:
    with attempted(what) as (on, fds):
        assert as_user("in", what, on, fds=fds) == INNER[what]


@pytest.mark.parametrize("what", ORDINARY)
def test_where_namespaces_are_forbidden_the_inner_walls_stand(what: str) -> None:
    if not allowed("--user", user=USER):
        pytest.skip("user namespaces are not allowed here")
    with attempted(what) as (on, fds):
        assert as_user("in", what, on, fds=fds, before=FORBIDDEN) == INNER[what]


@pytest.mark.skipif(not ROOT, reason="only root starts it as another user")
def test_nothing_of_root_is_left() -> None:
    assert without_walls("out", "root", user=0) == 0
    assert between_walls("out", "root") != 0


def test_it_can_still_do_its_work() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        fds = (theirs.fileno(),)
        assert between_walls("in", "send back", str(theirs.fileno()), fds=fds) == 0
        assert ours.recv(1) == b"x"


def test_a_thread_may_begin_just_after_the_walls_went_up() -> None:
    status = without_walls("out", "late thread")
    if status == NOT_HELD:
        pytest.skip("a process may not hold another one's calls here")
    assert status == 0
    assert between_walls("in", "late thread") == 0


def test_what_is_said_without_end_takes_no_more_room_than_it_was_given() -> None:
    said = sandbox.file_that_cannot_grow("said", CONSOLE)
    assert between_walls("in", "output", said=said) == errno.EPERM
    assert os.fstat(said).st_size == CONSOLE
    text = sandbox.text_in(said)
    assert text.startswith("x" * CONSOLE)
    assert text.endswith("(more than this is not kept)")
    os.close(said)


def test_what_was_said_is_read_as_far_as_it_goes() -> None:
    said = sandbox.file_that_cannot_grow("said", CONSOLE)
    assert sandbox.text_in(said) == ""
    os.write(said, b"words\n")
    assert sandbox.text_in(said) == "words\n"
    os.close(said)


def test_a_program_that_is_not_there() -> None:
    said = sandbox.file_that_cannot_grow("said", CONSOLE)
    with pytest.raises(MachineError, match="could not be started: /nowhere: No such file"):
        sandbox.start(["/nowhere"], [], said)
    os.close(said)


def test_it_is_killed_at_once_and_leaves_nothing() -> None:
    ours, theirs = os.pipe()
    command = [f"/proc/self/fd/{program()}", "out", "victim", str(theirs)]
    emulator = sandbox.start(command, [program(), theirs], sys.stderr.fileno())
    assert os.read(ours, 1) == b"x"
    assert os.getsid(emulator.pid) == emulator.pid != os.getsid(0)
    assert emulator.wait(0) is None
    emulator.kill()
    assert not Path(f"/proc/{emulator.pid}").exists()
    assert emulator.wait() == -signal.SIGKILL
    emulator.kill()
    os.close(theirs)
    os.close(ours)


def test_an_ending_by_the_walls_is_said_in_words() -> None:
    assert "by its sandbox" in sandbox.ending(KILLED)
    assert sandbox.ending(-signal.SIGKILL) == "ended with status -9"
    assert sandbox.ending(None) == "stopped answering"
