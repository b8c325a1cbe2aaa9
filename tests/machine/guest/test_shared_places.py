"""Files of the project that containers write to, secrets, and networks that containers share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from unrecorded import Machine

COMPOSE = """\
x-branchpoint-debian:
  packages: [busybox-static]
  users: {app: {uid: 1000, home: /srv}}
services:
  writer:
    command: [busybox, sh, -c, "echo new > /data/new; echo more >> /data/deep/old; sleep 100"]
    user: app
    volumes: ["./data:/data", "./log:/log", "./gone:/gone", "/dev/urandom:/dev/random",
              "/dev/null:/muted:ro"]
    tty: true
    stdin_open: true
  reader:
    command: [busybox, sleep, "100"]
    volumes: ["./data/deep:/deep:ro", "./log:/log", "/proc:/host/proc:ro", "/:/host/root:ro"]
    links: [web:db]
    secrets: [{source: token, uid: "1000", mode: 0400}]
    configs: [settings]
  web:
    command: [busybox, httpd, -f, -p, "127.0.0.1:8080", -h, /etc]
  side:
    command: [busybox, sleep, "100"]
    network_mode: service:web
  outside:
    command: [busybox, httpd, -f, -p, "8081", -h, /etc]
    network_mode: host
secrets: {token: {content: hidden}}
configs: {settings: {file: ./settings}}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    (folder / "data/deep").mkdir(parents=True)
    (folder / "data/deep/old").write_text("old\n")
    (folder / "log").write_text("first\n")
    (folder / "settings").write_text("colour=blue\n")
    (folder / "compose.yaml").write_text(COMPOSE)
    return folder


@pytest.fixture(scope="module")
def machine(project: Path) -> Iterator[Machine]:
    with Machine(project) as machine:
        machine.start(3)
        yield machine


def test_everything_runs(machine: Machine) -> None:
    assert machine.events("error") == []
    assert {event["name"] for event in machine.events("container.start")} == {
        "writer.1", "reader.1", "web.1", "side.1", "outside.1",
    }  # fmt: skip
    assert machine.events("container.exit") == []


def test_what_one_writes_others_read(machine: Machine, project: Path) -> None:
    assert machine.ask("writer.1", "cat /data/new /data/deep/old; stat -c %U /data /data/new") == [
        "new", "old", "more", "app", "app",
    ]  # fmt: skip
    assert machine.ask("reader.1", "cat /deep/old") == ["old", "more"]
    (refused,) = machine.ask("reader.1", "echo x > /deep/old")
    assert "Read-only file system" in refused
    assert (project / "data/deep/old").read_text() == "old\n", "this computer's file is as before"


def test_a_file_is_shared_too(machine: Machine, project: Path) -> None:
    assert machine.ask("reader.1", "echo second >> /log") == []
    assert machine.ask("writer.1", "cat /log") == ["first", "second"]
    assert (project / "log").read_text() == "first\n"


def test_a_missing_directory_is_empty_and_writable(machine: Machine, project: Path) -> None:
    assert machine.ask("writer.1", "ls /gone; echo x > /gone/x; cat /gone/x") == ["x"]
    assert not (project / "gone").exists()


def test_places_of_the_machine_cannot_be_written_to(machine: Machine) -> None:
    assert machine.ask("reader.1", "cat /host/proc/1/comm /proc/1/comm") == ["init", "busybox"]
    assert machine.ask("reader.1", "ls /host/root/system/branchpoint/setup.sh") == [
        "/host/root/system/branchpoint/setup.sh"
    ]
    for place in ("/host/proc/sysrq-trigger", "/host/root/run/x", "/host/root/proc/sysrq-trigger"):
        (refused,) = machine.ask("reader.1", f"echo b > {place}")
        assert "Read-only file system" in refused


def test_devices_of_the_machine_take_other_places(machine: Machine) -> None:
    shown = machine.ask("writer.1", "stat -c %t:%T /dev/random /dev/urandom /dev/null /muted")
    assert shown == ["1:9", "1:9", "1:3", "1:3"]
    asked = "head -c 8 /dev/random | wc -c; echo x > /muted && cat /muted && echo done"
    assert machine.ask("writer.1", asked) == ["8", "done"]


def test_secrets_and_configs(machine: Machine) -> None:
    assert machine.ask("reader.1", "stat -c '%u %a' /run/secrets/token; cat /settings") == [
        "1000 400",
        "colour=blue",
    ]
    assert machine.ask("reader.1", "cat /run/secrets/token; echo") == ["hidden"]


def test_a_link_is_a_name(machine: Machine) -> None:
    first, second = machine.ask("reader.1", "getent hosts db web | cut -d' ' -f1")
    assert first == second


def test_a_network_is_shared(machine: Machine) -> None:
    asked = "wget -q -O - http://127.0.0.1:8080/hostname"
    assert machine.ask("side.1", asked) == ["web-1"]
    (refused,) = machine.ask("reader.1", asked)
    assert "refused" in refused


def test_the_machines_own_network(machine: Machine) -> None:
    assert machine.ask("outside.1", "wget -q -O - http://127.0.0.1:8081/hostname") == ["outside-1"]
    gateway = "$(ip route | awk '/default/ {print $3}')"
    assert machine.ask("reader.1", f"wget -q -O - http://{gateway}:8081/hostname") == ["outside-1"]
