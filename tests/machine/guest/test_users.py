"""Whom commands run as: the container's user, rights and limits, others of its users, or root with
all.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

import branchpoint as bp
from branchpoint import bash

COMPOSE = """
name: users
x-branchpoint: {ram: 512m}
x-branchpoint-debian:
  packages: [busybox-static]
  users: {app: {uid: 1234, home: /srv/app}, other: {uid: 1300}}
  files:
    /etc/secret: {content: "for root only", mode: "600"}
    /srv/app/mine: {content: "for the app", mode: "600", owner: app}
services:
  app: {command: [busybox, sleep, infinity], user: app, group_add: [tty]}
  bare:
    command: [busybox, sleep, infinity]
    cap_drop: [ALL]
    security_opt: [no-new-privileges]
    ulimits: {nofile: {soft: 4096, hard: 8192}, nproc: 300}
  open: {command: [busybox, sleep, infinity], security_opt: ["seccomp=unconfined"]}
  usual: {command: [busybox, sleep, infinity]}
  checked:
    command: [busybox, sleep, infinity]
    healthcheck: {test: [CMD-SHELL, "grep CapEff /proc/self/status > /seen;
      grep Seccomp: /proc/self/status > /filter"], interval: 1s}
  done: {command: [busybox, "true"], user: app}
"""
ALL = "000001ffffffffff"


@pytest.fixture(scope="module")
def branch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[bp.Branch]:
    folder = tmp_path_factory.mktemp("users")
    (folder / "compose.yaml").write_text(COMPOSE)
    with bp.record(folder, folder / "users.branchpoint", seed=1, duration=0.5) as run:
        yield run.end.branch()


def said(branch: bp.Branch, script: str, container: str, **whom: object) -> str:
    return bash(script).run(branch, container, **whom).stdout.strip()  # type: ignore[arg-type]


def rights(branch: bp.Branch, container: str, **whom: object) -> str:
    """The capabilities of a command, in hex."""
    return said(branch, "grep CapEff /proc/self/status", container, **whom).split()[1]


def first_process(branch: bp.Branch, container: str, line: str) -> str:
    """A line of the status of a container's first process."""
    return said(branch, f"grep ^{line}: /proc/1/status", container, privileged=True).split(None, 1)[
        1
    ]


def test_a_command_runs_as_the_containers_user(branch: bp.Branch) -> None:
    assert said(branch, "id -u; id -g; echo $HOME", "app").split() == ["1234", "1234", "/srv/app"]
    assert said(branch, "cat /srv/app/mine", "app") == "for the app"
    assert int(rights(branch, "app"), 16) == 0


def test_a_fault_of_permission_shows_and_is_explained(branch: bp.Branch) -> None:
    process = bash("cat /etc/secret").run(branch, "app")
    assert process.exit_code == 1 and "Permission denied" in process.stderr
    assert "with the container's rights" in process.remark
    again = bash("cat /etc/secret").run(branch, "app", privileged=True)
    assert again.stdout.strip() == "for root only" and again.remark == ""


def test_root_has_the_rights_of_the_container_and_no_more(branch: bp.Branch) -> None:
    for container in ("usual", "bare"):
        assert said(branch, "id -u", container) == "0"
        assert rights(branch, container) == first_process(branch, container, "CapBnd")
        assert rights(branch, container, privileged=True) == ALL
    assert int(rights(branch, "bare"), 16) == 0 < int(rights(branch, "usual"), 16) < int(ALL, 16)
    refused = bash("ip link set lo down").run(branch, "usual")
    assert refused.exit_code and "not permitted" in refused.stderr
    assert said(branch, "grep NoNewPrivs /proc/self/status", "bare").split() == ["NoNewPrivs:", "1"]


def test_its_groups_are_those_of_the_container(branch: bp.Branch) -> None:
    assert first_process(branch, "app", "Groups").split() == ["5"]  # Debian's number of tty
    assert set(said(branch, "id -G", "app").split()) == {"1234", "5"}


def test_the_filter_of_system_calls_holds_for_it(branch: bp.Branch) -> None:
    def filtered(container: str, **whom: object) -> str:
        return said(branch, "grep Seccomp: /proc/self/status", container, **whom).split()[1]

    for container in ("app", "usual", "bare"):
        assert filtered(container) == first_process(branch, container, "Seccomp") == "2"
        assert filtered(container, privileged=True) == "0"
    assert filtered("usual", user="0") == "2"
    assert filtered("open") == first_process(branch, "open", "Seccomp") == "0"
    refused = bash("unshare --user true").run(branch, "usual")
    assert refused.exit_code and "not permitted" in refused.stderr


def test_its_limits_are_those_of_the_container(branch: bp.Branch) -> None:
    for container in ("usual", "bare"):
        own, first = (
            said(branch, f"cat /proc/{process}/limits", container) for process in ("self", "1")
        )
        assert own == first
    assert said(branch, "ulimit -Sn; ulimit -Hn; ulimit -u", "bare").split() == [
        "4096",
        "8192",
        "300",
    ]
    assert said(branch, "ulimit -n", "bare", privileged=True) == "1024"


def test_containers_have_nothing_beside_their_images_files(branch: bp.Branch) -> None:
    assert said(branch, "echo /.* /* | tr ' ' '\\n' | grep -i branchpoint", "usual") == ""
    assert said(branch, "ls /dev/branchpoint", "usual").split() == ["sdk", "tools"]


def test_a_healthcheck_has_the_rights_of_its_container(branch: bp.Branch) -> None:
    branch.wait_until("event:container.health:checked", cap=3)
    seen = said(branch, "cat /seen", "checked").split()
    assert seen == ["CapEff:", first_process(branch, "checked", "CapBnd")]
    assert said(branch, "cat /filter", "checked").split() == ["Seccomp:", "2"]


@pytest.mark.parametrize(
    ("user", "ids", "home"),
    [
        ("other", "1300 1300", "/"),
        (1300, "1300 1300", "/"),
        ("root", "0 0", "/root"),
        ("other:adm", "1300 4", "/"),
        ("4321", "4321 0", "/"),
        ("4321:99", "4321 99", "/"),
    ],
)
def test_another_user_is_given_by_name_or_number(
    branch: bp.Branch, user: str | int, ids: str, home: str
) -> None:
    found = said(branch, "echo $(id -u) $(id -g); echo $HOME", "app", user=user)
    assert found.splitlines() == [ids, home]
    if user == "root":
        assert rights(branch, "app", user=user) == first_process(branch, "app", "CapBnd")


@pytest.mark.parametrize(("user", "words"), [("nobody2", "no user nobody2"), ("0:x", "no group x")])
def test_an_unknown_user_is_an_error(branch: bp.Branch, user: str, words: str) -> None:
    process = bash("id").run(branch, "usual", user=user)
    assert process.exit_code == 125
    assert process.stderr.strip() == f"branchpoint: the container has {words}"


def test_what_cannot_be_asked_for_is_refused(branch: bp.Branch) -> None:
    with pytest.raises(bp.BranchpointError, match="does not go with privileged="):
        bash("id").run(branch, "usual", user="root", privileged=True)
    with pytest.raises(bp.BranchpointError, match="does not go with the guest itself"):
        bash("id").run(branch, user="root")
    with pytest.raises(bp.BranchpointError, match="'a b' is no user"):
        bash("id").run(branch, "usual", user="a b")


def test_in_a_dead_container_and_in_the_guest(branch: bp.Branch) -> None:
    assert said(branch, "id -u", "done") == "1234"
    assert said(branch, "id -u", "done", privileged=True) == "0"
    assert bash("id -u").run(branch).stdout.strip() == "0"


def test_a_terminal_is_the_users_too(branch: bp.Branch) -> None:
    for whom, number in (({}, "1234"), ({"user": "other"}, "1300"), ({"privileged": True}, "0")):
        terminal = branch.terminal("app", **whom)  # type: ignore[arg-type]
        terminal.type("echo I am $(id -u)\n")
        branch.wait(1)
        assert f"I am {number}" in terminal.transcript


@pytest.mark.long
def test_the_command_line_takes_the_same(branch: bp.Branch) -> None:
    def run(*options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "branchpoint.cli", "run", str(branch.run.path)]
        return subprocess.run(
            [*command, "--at", "end", "-c", "app", *options, "--", "id -u; cat /etc/secret"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    refused = run()
    assert (refused.stdout.strip(), refused.returncode) == ("1234", 1)
    assert "--privileged" in refused.stderr
    assert run("--user", "other").stdout.strip() == "1300"
    assert run("--privileged").stdout.split("\n")[:2] == ["0", "for root only"]
