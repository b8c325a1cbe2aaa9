"""A compose file with most of the supported keys, set up and checked in the real machine."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from unrecorded import Machine

from branchpoint.guest import debian, wire

COMPOSE = """\
x-branchpoint-debian:
  packages: [iproute2, iputils-ping, netcat-openbsd]
  users: {app: {uid: 1000, home: /srv/app}}
  files:
    /usr/local/bin/run: ./run.sh
    /srv/app/state: {content: seed, owner: app, mode: "0600"}
  commands:
    - echo built > /built && chown app /built
    - mkdir -p /var/lib/fresh && echo fresh > /var/lib/fresh/f
services:
  db:
    command: [run, one, "two three"]
    user: app
    working_dir: /srv/app
    environment: {MULTI: "a\\nb%0A"}
    volumes: ["state:/srv/app", "./conf:/etc/conf:ro", /anon]
    tmpfs: ["/small:size=1m,mode=1777"]
    networks: {front: {ipv4_address: 10.5.0.9, aliases: [database]}, back: }
    mem_limit: 64m
    cpus: 0.5
    pids_limit: 50
    init: true
    ulimits: {nofile: 4000}
    healthcheck:
      test: "test -e /srv/app/state"
      start_period: 3s
      start_interval: 500ms
      interval: 30s
  reader:
    command: [run]
    scale: 2
    read_only: true
    volumes: ["state:/data:ro", "fresh:/var/lib/fresh"]
    networks: [back]
    depends_on: {db: {condition: service_healthy}}
    cap_drop: [ALL]
    cap_add: [NET_BIND_SERVICE]
    security_opt: [no-new-privileges]
  alone:
    command: sh -c 'sleep 1; exit 7'
    network_mode: none
    restart: on-failure:1
  once:
    command: "true"
    networks: [inner]
  after:
    command: [sh, -c, "ip route; sleep 100"]
    working_dir: /made/here
    depends_on: {once: {condition: service_completed_successfully}}
    networks: [inner]
  imaged:
    image: docker-archive:./image.tar
    networks: [inner]
networks:
  front: {ipam: {config: [{subnet: 10.5.0.0/24}]}}
  back:
  inner: {internal: true}
volumes: {state: , fresh: {driver_opts: {o: "size=1m"}}}
x-branchpoint: {upper: 16m}
"""
RUN = """\
#!/bin/sh
trap "echo got TERM; exit 3" TERM
echo "args: $@"; pwd; echo "$MULTI"
while :; do sleep 1 & wait $!; done
"""


def write_image(path: Path) -> None:
    """A docker-archive of two layers: busybox, and above it a whiteout and a file capability."""
    busybox = debian.unpack(debian.resolve(["busybox-static"])).read("usr/bin/busybox")
    capability = bytes.fromhex("0100000200040000000000000000000000000000")  # net_bind_service=ep
    xattr = {"SCHILY.xattr.security.capability": capability.decode("utf-8", "surrogateescape")}

    def layer(*members: tuple[str, bytes, dict[str, object]]) -> bytes:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for name, data, changes in members:
                info = tarfile.TarInfo(name)
                info.size, info.mode = len(data), 0o755
                for key, value in changes.items():
                    setattr(info, key, value)
                tar.addfile(info, io.BytesIO(data))
        return out.getvalue()

    below = layer(
        ("bin/busybox", busybox, {}),
        ("bin/sh", b"", {"type": tarfile.SYMTYPE, "linkname": "busybox"}),
        ("etc/passwd", b"web:x:33:44::/home:/bin/sh\n", {}),
        ("data/old", b"", {}),
        ("data/kept", b"", {"uid": 33, "gid": 44}),
    )
    above = layer(("data/.wh.old", b"", {}), ("bin/busybox.able", busybox, {"pax_headers": xattr}))
    script = "busybox ls data; busybox id -u; busybox grep CapEff /proc/self/status; "
    script += "/bin/busybox.able grep CapEff /proc/self/status; busybox sleep 100"
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Cmd": ["/bin/sh", "-c", script], "User": "web", "Env": ["PATH=/bin"]},
        "rootfs": {"diff_ids": [f"sha256:{sha256(x).hexdigest()}" for x in (below, above)]},
    }
    manifest = [{"Config": "c", "RepoTags": ["i:1"], "Layers": ["1", "2"]}]
    files = {"1": below, "2": above, "c": json.dumps(config).encode()}
    files["manifest.json"] = json.dumps(manifest).encode()
    path.write_bytes(layer(*((name, data, {}) for name, data in files.items())))


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    folder = tmp_path_factory.mktemp("project")
    (folder / "conf").mkdir()
    (folder / "conf" / "f").write_text("from the project\n")
    (folder / "run.sh").write_text(RUN)
    (folder / "run.sh").chmod(0o755)
    (folder / "compose.yaml").write_text(COMPOSE)
    write_image(folder / "image.tar")
    with Machine(folder) as machine:
        machine.start(4)
        yield machine


def test_everything_starts(machine: Machine) -> None:
    assert machine.events("error") == []
    assert len(machine.events("setup.complete")) == 1
    order = [event["name"] for event in machine.events("container.start")]
    assert order.index("db.1") < order.index("reader.1")
    assert order.index("once.1") < order.index("after.1")
    assert machine.events("container.health", "db.1")[-1]["status"] == "healthy"


def test_restarts(machine: Machine) -> None:
    exits = machine.events("container.exit", "alone.1")
    assert [event["code"] for event in exits] == ["7", "7"]
    assert len(machine.events("container.restart", "alone.1")) == 1


def test_the_process(machine: Machine) -> None:
    assert machine.said("container/db.1") == ["args: one two three", "/srv/app", "a", "b%0A"]
    status = machine.ask("db.1", "cat /proc/1/status; tr '\\0' ' ' < /proc/1/cmdline")
    assert "Uid:\t1000\t1000\t1000\t1000" in status
    assert "CapEff:\t0000000000000000" in status
    assert "CapBnd:\t00000000a80425fb" in status  # docker's
    assert status[-1].startswith("/sbin/docker-init -- run one")


def test_an_image_of_layers(machine: Machine) -> None:
    assert machine.said("container/imaged.1") == [
        "kept",
        "33",
        "CapEff:\t0000000000000000",
        "CapEff:\t0000000000000400",  # the file's own
    ]


def test_limits(machine: Machine) -> None:
    told = machine.ask(
        "db.1", "cd /sys/fs/cgroup; cat memory.max cpu.max pids.max; grep files /proc/1/limits"
    )
    assert told[:3] == [str(64 << 20), "50000 100000", "50"]
    assert told[3].split()[3:5] == ["4000", "4000"]


def test_timers_are_as_coarse_as_on_any_linux(machine: Machine) -> None:
    """The agent's timers are exact, but its children must not inherit that."""
    assert machine.ask("db.1", "cat /proc/self/timerslack_ns") == ["50000"]
    (first,) = machine.ask("", "cat /proc/$(pgrep -x docker-init)/timerslack_ns")
    assert first == "50000"


def test_files(machine: Machine) -> None:
    told = machine.ask(
        "db.1",
        "cat /etc/conf/f; echo x > /etc/conf/no; stat -c '%U %a' /srv/app /srv/app/state /built;"
        "stat -f -c '%T %b' /small; echo x > /anon/x && echo written",
    )
    assert told[0] == "from the project"
    assert any("Read-only file system" in line for line in told)
    assert told[-5:] == ["app 755", "app 600", "app 644", "tmpfs 256", "written"]


def test_volumes_are_shared_and_filled(machine: Machine) -> None:
    assert machine.ask("reader.1", "cat /data/state; echo; echo new > /var/lib/fresh/new") == [
        "seed"
    ]
    assert machine.ask("reader.2", "cat /var/lib/fresh/*") == ["fresh", "new"]
    (refused,) = machine.ask("reader.2", "echo x > /data/x")
    assert "Read-only file system" in refused
    (refused,) = machine.ask("reader.2", "echo x > /x")
    assert "Read-only file system" in refused


def test_dropped_capabilities(machine: Machine) -> None:
    told = machine.ask("reader.1", "grep -E 'CapEff|NoNew' /proc/1/status")
    assert told == ["CapEff:\t0000000000000400", "NoNewPrivs:\t1"]


def test_names_and_networks(machine: Machine) -> None:
    assert machine.ask("db.1", "getent ahostsv4 reader | awk '/STREAM/ {print $1}'") == [
        "10.89.0.3",
        "10.89.0.4",
    ]
    assert machine.ask("reader.1", "ping -qc1 db > /dev/null && echo there") == ["there"]
    assert machine.ask("reader.1", "getent hosts database || echo unknown") == ["unknown"]
    # front is another network, and nothing routes between the two or to the outside
    assert machine.ask("reader.1", "nc -w 1 -z 10.5.0.9 22 || echo refused") == ["refused"]
    (line, *_) = machine.ask("reader.1", "ping -c1 -W1 192.0.2.1 | grep Unreachable")
    assert "From 10.89.0.1" in line
    assert machine.said("container/after.1") == [
        "10.89.1.0/24 dev eth0 proto kernel scope link src 10.89.1.3 "
    ]
    assert machine.ask("after.1", "readlink /proc/1/cwd") == ["/made/here"]
    addresses = machine.ask("alone.1", "ip -br addr")  # it has ended by now
    assert [line.split()[0] for line in addresses] == ["lo"]
    assert not any("fe80" in line for line in machine.ask("db.1", "ip addr"))


def test_a_stopped_container_can_still_be_looked_at(machine: Machine) -> None:
    machine.mailbox.send(wire.container("stop", "db.1"))
    machine.run(0.5)
    assert machine.said("container/db.1")[-1] == "got TERM"
    assert machine.events("container.exit", "db.1")[-1]["code"] == "3"
    assert machine.ask("db.1", "cat /etc/conf/f /srv/app/state") == ["from the project", "seed"]
