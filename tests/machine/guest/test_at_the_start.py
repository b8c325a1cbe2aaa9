"""What containers do and have at the start: post_start, devices, MAC, IPC; and their health."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import branchpoint as bp
from branchpoint import bash

COMPOSE = """
name: started
x-branchpoint: {ram: 512m}
x-branchpoint-debian:
  packages: [busybox-static, iproute2, util-linux]
  users: {app: {uid: 1234}, other: {uid: 1300}}
services:
  hooked:
    command: [busybox, sh, -c, "exec busybox sleep infinity"]
    user: app
    environment: {COLOUR: red, SIZE: big}
    working_dir: /tmp
    restart: always
    post_start:
      - {command: [busybox, sh, -c, "busybox sleep 0.3; echo one $$(busybox id -u) $$COLOUR $$PWD"]}
      - command: [busybox, sh, -c, "echo two $$(busybox id -u) $$COLOUR $$SIZE $$PWD"]
        user: root
        working_dir: /etc
        environment: {COLOUR: blue}
      - {command: [busybox, grep, CapEff, /proc/self/status], user: root, privileged: true}
  after:
    command: [busybox, sleep, infinity]
    depends_on: [hooked]
    devices: [/dev/fuse, "/dev/net/tun:/dev/net/tun:rwm", /dev/null]
    cap_add: [NET_ADMIN]
    mac_address: 02-42-AC-11-65-43
    networks: {default: {}, second: {mac_address: "02:42:ac:11:65:44"}}
  bare: {command: [busybox, sleep, infinity]}
  all: {command: [busybox, sleep, infinity], privileged: true}
  one: {command: [busybox, sleep, infinity], ipc: host}
  two: {command: [busybox, sleep, infinity], ipc: host}
  sick:
    command: [busybox, sleep, infinity]
    healthcheck: {test: ["CMD", "busybox", "false"], interval: 200ms, retries: 2}
networks: {second: {}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("started")
    (folder / "compose.yaml").write_text(COMPOSE)
    return folder


@pytest.fixture(scope="module")
def run(folder: Path) -> Iterator[bp.Recording]:
    with bp.record(folder, folder / "started.branchpoint", seed=1, duration=1) as run:
        yield run


def said(run: bp.Recording, script: str, container: str) -> str:
    done = bash(script).run(run.end.branch(), container)
    assert done.exit_code == 0, done.stderr
    return done.stdout.strip()


def lines(run: bp.Recording, container: str) -> list[str]:
    return [event.text for event in run.events.where(container=container, type="log")]


def test_hooks_run_one_after_the_other_as_they_say(run: bp.Recording) -> None:
    first, second, third = lines(run, "hooked.1")
    assert first == "one 1234 red /tmp"
    assert second == "two 0 blue big /etc"
    assert third.split() == ["CapEff:", "000001ffffffffff"]


def test_who_depends_on_it_waits_for_its_hooks(run: bp.Recording) -> None:
    last = run.events.where(container="hooked.1", type="log").last
    began = run.events.where(container="after.1", type="container.start").first
    assert last is not None and began is not None and last.at <= began.at


def test_a_restart_by_policy_runs_no_hooks(run: bp.Recording) -> None:
    branch = run.end.branch()
    branch.faults.kill("hooked")
    branch.wait(2)
    events = branch.events.where(container="hooked.1", start=run.end)
    assert len(events.where(type="container.start")) == 1
    assert not list(events.where(type="log"))


def test_a_hook_that_fails_ends_the_set_up(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text("""
x-branchpoint: {ram: 512m}
services:
  a:
    x-branchpoint-debian: {packages: [busybox-static]}
    command: [busybox, sleep, infinity]
    post_start: [{command: [busybox, sh, -c, "echo no table; exit 3"]}]
""")
    with pytest.raises(bp.BranchpointError) as raised:
        bp.record(tmp_path, tmp_path / "a.branchpoint", duration=1)
    assert "container a.1 has a post_start command that ended with code 3" in str(raised.value)
    assert "no table" in str(raised.value)


def test_the_machines_devices_are_there_for_those_who_ask(run: bp.Recording) -> None:
    opened = "exec 3<> /dev/net/tun && exec 4<> /dev/fuse && echo both"
    assert said(run, opened, "after") == "both"
    assert (
        said(run, "ip tuntap add dev tun9 mode tun && ip -o link show tun9 | wc -l", "after") == "1"
    )
    assert bash("ls /dev/fuse").run(run.end.branch(), "bare").exit_code != 0
    assert said(run, opened, "all") == "both"


def test_addresses_of_interfaces_are_as_asked(run: bp.Recording) -> None:
    shown = said(run, "cat /sys/class/net/eth0/address /sys/class/net/eth1/address", "after")
    assert sorted(shown.split()) == ["02:42:ac:11:65:43", "02:42:ac:11:65:44"]
    first = said(run, "busybox ping -c 1 -W 1 bare > /dev/null && echo there", "after")
    assert first == "there"


def test_shared_memory_is_shared_by_those_who_ask(run: bp.Recording) -> None:
    branch = run.end.branch()
    made = bash("ipcmk -M 4096 > /dev/null && ipcs -m | grep -c 4096").run(branch, "one")
    assert made.stdout.strip() == "1"
    assert bash("ipcs -m | grep -c 4096").run(branch, "two").stdout.strip() == "1"
    assert bash("ipcs -m | grep -c 4096").run(branch, "bare").stdout.strip() == "0"


@pytest.mark.long
def test_one_that_stays_unhealthy_is_in_nobodys_way(run: bp.Recording, folder: Path) -> None:
    assert run.start.containers()["sick.1"].health == "unhealthy"
    program = [sys.executable, "-m", "branchpoint.cli", "record", ".", "--for", "100ms", "-o", "b"]
    done = subprocess.run(program, cwd=folder, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0
    assert "note: container sick.1 did not become healthy" in done.stderr


@pytest.mark.long
def test_who_waits_for_its_health_waits_in_vain(tmp_path: Path) -> None:
    text = COMPOSE.replace(
        "  bare: {", "  bare: {depends_on: {sick: {condition: service_healthy}}, "
    )
    (tmp_path / "compose.yaml").write_text(text)
    with pytest.raises(bp.BranchpointError, match=r"bare\.1 waits for sick\.1, which is unhealthy"):
        bp.record(tmp_path, tmp_path / "a.branchpoint", duration=1)
