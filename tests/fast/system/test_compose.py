"""What compose files mean: each supported key, as docker compose reads it."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from branchpoint.errors import BranchpointError, ComposeError
from branchpoint.faults.settings import Drawn
from branchpoint.machine.spec import Hardware
from branchpoint.system.compose.reading import load
from branchpoint.system.model import (
    SECOND,
    Dependency,
    Healthcheck,
    Restart,
    Service,
    System,
    Ulimit,
)

FULL = """\
name: shop
version: "3.8"
x-common: &common
  restart: on-failure:3
  environment: &env
    MODE: ${MODE:-test}
    PRICE: $$5
services:
  db:
    <<: *common
    image: postgres:16
    hostname: dbhost
    container_name: thedb
    command: postgres -c 'max connections=10'
    environment:
      <<: *env
      POSTGRES_PASSWORD: 007
    volumes:
      - data:/var/lib/postgresql/data
      - ./init:/docker-entrypoint-initdb.d:ro
      - type: tmpfs
        target: /tmp
        tmpfs: {size: 10m, mode: "1777"}
      - /scratch
    networks:
      back: {ipv4_address: 10.0.5.20, aliases: [database]}
    healthcheck:
      test: ["CMD-SHELL", "pg_isready || exit 1"]
      interval: 1m30s
      timeout: 500ms
      retries: 5
      start_period: 2s
      start_interval: 250ms
    stop_signal: SIGINT
    stop_grace_period: 1.5s
    shm_size: 128m
    ulimits: {nofile: {soft: 100, hard: 200}, nproc: 50}
    cap_add: [NET_ADMIN, cap_sys_ptrace]
    cap_drop: [MKNOD]
    mem_limit: 256m
    cpus: "0.5"
    init: true
    ports: ["5432:5432"]
    tmpfs: /run
  web:
    image: web
    entrypoint: ["/bin/web"]
    command: []
    env_file: [web.env]
    environment: [PORT=80, "HOME_DIR"]
    depends_on:
      db: {condition: service_healthy}
    networks: [front, back]
    deploy:
      replicas: 3
      resources: {limits: {memory: 1g, cpus: "2", pids: 100}}
      restart_policy: {condition: any, delay: 5s}
    user: "1000:1000"
    read_only: true
    security_opt: ["no-new-privileges:true"]
    sysctls: [net.core.somaxconn=1024]
    extra_hosts: ["upstream=192.0.2.7"]
  job:
    image: job
    depends_on: {web: {condition: service_started, required: false}}
    network_mode: none
    healthcheck: {disable: true}
  debug:
    image: debug
    profiles: [debug]
networks:
  front: {internal: true}
  back: {ipam: {config: [{subnet: 10.0.5.0/24, ip_range: 10.0.5.128/25, gateway: 10.0.5.254}]}}
volumes:
  data: {driver_opts: {type: tmpfs, device: tmpfs, o: "size=64m,uid=999"}}
x-branchpoint:
  ram: 2g
  cpu: 500MHz
  upper: 64m
  images: {web: ./web.tar}
  fault:
    kill: thedb
    between: [20s, 1m40s]
    probability: 0.5
    restart_after: 2s
"""


def project(tmp_path: Path, text: str) -> Path:
    (tmp_path / "compose.yaml").write_text(textwrap.dedent(text))
    return tmp_path


def read(tmp_path: Path, text: str, **environ: str) -> System:
    return load(project(tmp_path, text), environ=environ)


def one(tmp_path: Path, keys: str, **environ: str) -> Service:
    """A single service with these keys."""
    body = textwrap.indent(textwrap.dedent(keys), "    ")
    return read(tmp_path, f"services:\n  a:\n    image: x\n{body}", **environ).services["a"]


@pytest.fixture
def full(tmp_path: Path) -> System:
    (tmp_path / "init").mkdir()
    (tmp_path / "web.env").write_text("PORT=1\nexport NAME='a b'  # comment\n")
    return read(tmp_path, FULL, HOME_DIR="/home/x", COMPOSE_PROFILES="")


def test_processes(full: System) -> None:
    db, web = full.services["db"], full.services["web"]
    assert db.command == ("postgres", "-c", "max connections=10")
    assert (web.entrypoint, web.command) == (("/bin/web",), ())
    assert db.environment == {"MODE": "test", "PRICE": "$5", "POSTGRES_PASSWORD": "7"}
    assert web.environment == {"PORT": "80", "NAME": "a b", "HOME_DIR": "/home/x"}
    assert (db.stop_signal, db.stop_grace, db.init) == ("SIGINT", 3 * SECOND // 2, True)
    assert (web.user, web.read_only, web.no_new_privileges) == ("1000:1000", True, True)


def test_limits(full: System) -> None:
    db, web = full.services["db"], full.services["web"]
    assert db.ulimits == (Ulimit("nofile", 100, 200), Ulimit("nproc", 50, 50))
    assert (db.memory, db.cpus, db.shm_size) == (256 << 20, 0.5, 128 << 20)
    assert (web.memory, web.cpus, web.pids) == (1 << 30, 2.0, 100)
    assert (db.cap_add, db.cap_drop) == (("NET_ADMIN", "SYS_PTRACE"), ("MKNOD",))
    assert web.sysctls == {"net.core.somaxconn": "1024"}


def test_life(full: System) -> None:
    db, web = full.services["db"], full.services["web"]
    assert db.restart == Restart("on-failure", 3)
    assert web.restart == Restart("always", 0)
    test = ("CMD-SHELL", "pg_isready || exit 1")
    often = SECOND // 4
    assert db.healthcheck == Healthcheck(test, 90 * SECOND, SECOND // 2, 5, 2 * SECOND, often)
    assert full.services["job"].healthcheck == Healthcheck(disabled=True)


def test_containers_and_their_order(full: System) -> None:
    names = [container.name for container in full.containers]
    assert names == ["thedb", "web.1", "web.2", "web.3", "job.1"]
    web = full.container("web.2")
    assert web is not None
    assert [(d.name, d.condition) for d in web.depends] == [("thedb", "healthy")]
    assert full.container("db") is full.container("thedb")
    assert full.container("web") is None  # which of the three?
    assert "debug" not in full.services


def test_addresses(full: System) -> None:
    at = {c.name: [(e.network, e.address) for e in c.endpoints] for c in full.containers}
    assert at["thedb"] == [("back", "10.0.5.20")]
    assert at["web.1"] == [("front", "10.89.0.2"), ("back", "10.0.5.128")]
    assert at["web.3"] == [("front", "10.89.0.4"), ("back", "10.0.5.130")]
    assert at["job.1"] == []
    db = full.containers[0].endpoints[0]
    assert (db.interface, db.mac) == ("eth0", "02:42:0a:00:05:14")
    assert db.names == ("db", "thedb", "database", "dbhost")
    assert full.networks["back"].gateway == "10.0.5.254"
    assert full.networks["front"].internal


def test_mounts(full: System, tmp_path: Path) -> None:
    mounts = {m.target: m for m in full.services["db"].mounts}
    assert (mounts["/var/lib/postgresql/data"].kind, mounts["/scratch"].source) == ("volume", "")
    bind = mounts["/docker-entrypoint-initdb.d"]
    assert (bind.kind, bind.source, bind.read_only) == ("bind", str(tmp_path / "init"), True)
    assert mounts["/tmp"].options == ("size=10485760", "mode=1777")
    assert mounts["/run"].options == ()
    assert (full.volumes["data"].size, full.volumes["data"].options) == (64 << 20, ("uid=999",))


def test_what_the_recorder_is_told(full: System) -> None:
    assert (full.hardware, full.upper) == (Hardware(2 << 30, 500), 64 << 20)
    assert full.images == {"web": "./web.tar"}
    assert full.faults.drawn[0] == Drawn(
        "kill", ("thedb",), (2 * SECOND, 2 * SECOND),
        between=(20 * SECOND, 100 * SECOND), probability=500_000,
    )  # fmt: skip


def test_notes(full: System) -> None:
    told = [note.text for note in full.notes]
    assert len(told) == 3
    assert '"version" has no effect' in told[0]
    assert '"ports" of service "db" has no effect: the machine has no network outside' in told[1]
    assert '"delay" of "restart_policy" has no effect' in told[2]
    assert [note.line for note in full.notes] == sorted(note.line for note in full.notes)


def test_a_recording_can_keep_it(full: System) -> None:
    assert msgspec.json.decode(msgspec.json.encode(full), type=System) == full


def test_profiles(tmp_path: Path) -> None:
    where = project(tmp_path, "services: {a: {image: x}, b: {image: y, profiles: [p, q]}}")
    assert list(load(where, environ={}).services) == ["a"]
    assert list(load(where, environ={"COMPOSE_PROFILES": "q,z"}).services) == ["a", "b"]
    for profile in "p*":
        assert list(load(where, profiles=[profile], environ={}).services) == ["a", "b"]
    with pytest.raises(ComposeError, match=r"no service is active"):
        read(tmp_path, "services: {b: {image: y, profiles: [p]}}")


def test_a_default_network_and_its_name(tmp_path: Path) -> None:
    system = read(tmp_path, "services: {a: {image: x}}\nnetworks: {unused: }")
    assert list(system.networks) == ["default"]
    assert system.name == tmp_path.name
    assert "no service uses it" in system.notes[0].text


def test_default_subnets_avoid_written_ones(tmp_path: Path) -> None:
    system = read(
        tmp_path,
        """\
        services: {a: {image: x, networks: [n, m]}}
        networks: {n: , m: {ipam: {config: [{subnet: 10.89.0.0/23}]}}}
        """,
    )
    assert [n.subnet for n in system.networks.values()] == ["10.89.2.0/24", "10.89.0.0/23"]


def test_bridges_fit_linux(tmp_path: Path) -> None:
    names = ["short", "a-very-long-network-name", "a-very-long-network-nome"]
    text = f"services: {{a: {{image: x, networks: [{', '.join(names)}]}}}}\n"
    system = read(tmp_path, text + "networks: {" + ", ".join(f"{n}: " for n in names) + "}")
    bridges = [network.bridge for network in system.networks.values()]
    assert bridges[0] == "br-short"
    assert len(set(bridges)) == 3
    assert all(len(bridge) <= 15 for bridge in bridges)


def test_network_priority(tmp_path: Path) -> None:
    system = read(
        tmp_path,
        "services: {a: {image: x, networks: {m: , n: {priority: 10}}}}\nnetworks: {n: , m: }",
    )
    assert [e.network for e in system.containers[0].endpoints] == ["n", "m"]


@pytest.mark.parametrize(
    ("written", "argv"),
    [
        ("a b  'c d'", ("a", "b", "c d")),
        ('["a b", "c"]', ("a b", "c")),
        ("[]", ()),
        ("''", ()),
        ("[sleep, 1]", ("sleep", "1")),
        ("", None),
    ],
)
def test_commands(tmp_path: Path, written: str, argv: tuple[str, ...] | None) -> None:
    assert one(tmp_path, f"command: {written}").command == argv


@pytest.mark.parametrize(
    ("written", "nanoseconds"),
    [
        ("1m30s", 90 * SECOND),
        ("2h", 7200 * SECOND),
        ("250us", 250_000),
        ("0", 0),
        ("0.5s", 5 * 10**8),
    ],
)
def test_durations(tmp_path: Path, written: str, nanoseconds: int) -> None:
    assert one(tmp_path, f"stop_grace_period: {written}").stop_grace == nanoseconds


@pytest.mark.parametrize(
    ("written", "size"),
    [("64m", 64 << 20), ("1gb", 1 << 30), ("0.5G", 1 << 29), ("67108864", 1 << 26), ("8KiB", 8192)],
)
def test_sizes(tmp_path: Path, written: str, size: int) -> None:
    assert one(tmp_path, f"shm_size: {written}").shm_size == size


@pytest.mark.parametrize(
    ("written", "test"),
    [
        ("curl -f x", ("CMD-SHELL", "curl -f x")),
        ("[CMD, curl, x]", ("CMD", "curl", "x")),
        ("[NONE]", None),
        ('""', ("CMD-SHELL", "")),
    ],
)
def test_health_tests(tmp_path: Path, written: str, test: tuple[str, ...] | None) -> None:
    health = one(tmp_path, f"healthcheck: {{test: {written}}}").healthcheck
    assert health is not None
    assert (health.test, health.disabled) == (test, test is None)


def test_what_is_switched_off_is_accepted(tmp_path: Path) -> None:
    keys = "tty: false\nstdin_open: false\ndevices: []\nipc: private\nsecrets:\n"
    assert one(tmp_path, keys).name == "a"


def test_depends_on_replicas_of_all(tmp_path: Path) -> None:
    system = read(
        tmp_path,
        "services:\n  a: {image: x, depends_on: [b]}\n  b: {image: y, scale: 2}\n",
    )
    assert [c.name for c in system.containers] == ["b.1", "b.2", "a.1"]
    assert system.containers[2].depends == (
        Dependency("b.1", "started", 2),
        Dependency("b.2", "started", 2),
    )


def test_the_start_order_is_the_written_one_where_free(tmp_path: Path) -> None:
    system = read(tmp_path, "services: {c: {image: x}, a: {image: x}, b: {image: x}}")
    assert [c.service for c in system.containers] == ["c", "a", "b"]


def test_env_files(tmp_path: Path) -> None:
    (tmp_path / "a.env").write_text(
        "# comment\n\nPLAIN=a b # no\nHASH=a#b\nEMPTY=\nSINGLE='$A \\n'\nDOUBLE=\"x\\ty $PLAIN\"\n"
        'export  EXPORTED=${NOPE:-yes}\nMULTI="1\n2"\nESCAPED="\\$A"\nCOLON: c\nOUTER\nGONE\n'
    )
    (tmp_path / "b.env").write_text("RAW='$A' # kept\n")
    service = one(
        tmp_path,
        """\
        env_file:
          - a.env
          - {path: b.env, format: raw}
          - {path: missing.env, required: false}
        environment: {EMPTY: full}
        """,
        OUTER="outer",
    )
    assert service.environment == {
        "PLAIN": "a b",
        "HASH": "a#b",
        "EMPTY": "full",
        "SINGLE": "$A \\n",
        "DOUBLE": "x\ty a b",
        "EXPORTED": "yes",
        "MULTI": "1\n2",
        "ESCAPED": "$A",
        "COLON": "c",
        "OUTER": "outer",
        "RAW": "'$A' # kept",
    }


def test_dotenv_yields_to_the_shell(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=file\nB=file\nC=$A\n")
    service = one(tmp_path, "command: ['$A', '$B', '$C']", A="shell")
    assert service.command == ("shell", "file", "shell")


def test_unset_variables_are_told(tmp_path: Path) -> None:
    system = read(tmp_path, 'services:\n  a:\n    image: x\n    command: ["${NOPE}"]\n')
    assert system.services["a"].command == ("",)
    (note,) = system.notes
    assert (note.line, "NOPE has no value" in note.text) == (4, True)


def test_recipes(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "tool").write_text("#!/bin/sh\n")
    system = read(
        tmp_path,
        """\
        x-branchpoint-debian: {packages: [python3-minimal]}
        services:
          a: {command: x}
          b:
            command: y
            x-branchpoint-debian:
              packages: [etcd-server, g++]
              users: {bus: {uid: 1000, home: /srv/bus}}
              files:
                /usr/bin/tool: ./bin/tool
                /opt/bin: ./bin
                /etc/bus: {content: "x\\n", mode: "0640", owner: bus}
                /var/lib/bus: {directory: true, owner: 5:6}
              symlinks: {/usr/bin/t: tool}
              commands: [ldconfig]
        """,
    )
    a, b = system.services["a"].recipe, system.services["b"].recipe
    assert a is not None and b is not None
    assert (a.packages, b.packages) == (("python3-minimal",), ("etcd-server", "g++"))
    tool, folder, text, made = b.files
    assert (tool.source, tool.directory) == (str(tmp_path / "bin/tool"), False)
    assert (folder.directory, made.directory, made.source) == (True, True, None)
    assert (text.text, text.mode, text.uid, text.gid) == ("x\n", 0o640, 1000, 1000)
    assert (made.uid, made.gid) == (5, 6)
    assert (b.symlinks, b.commands) == ({"/usr/bin/t": "tool"}, ("ldconfig",))
    assert (b.users[0].home, b.users[0].shell) == ("/srv/bus", "/bin/sh")


def test_builds(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    build = one(
        tmp_path,
        """\
        build:
          context: src
          dockerfile: D
          target: final
          args: [A=1, B, C]
          tags: [t]
        """,
        B="2",
    ).build
    assert build is not None
    assert (build.context, build.dockerfile, build.target) == (str(tmp_path / "src"), "D", "final")
    assert build.args == {"A": "1", "B": "2"}


TEXTS = [
    "",
    "x",
    "10s",
    "1g",
    "/x",
    "a:b",
    "a:/b",
    "10.0.5.7",
    "10.0.0.0/24",
    "$X",
    "${X:-y}",
    "../",
]
KEYS = ["a", "type", "target", "test", "x-y", "size"]
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 10**6) | st.sampled_from(TEXTS),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3)
    ),
    max_leaves=4,
)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_value_anywhere_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """One value of the full file replaced by anything: only errors of ours, which name the file."""
    folder = tmp_path_factory.getbasetemp() / "mutated"
    folder.mkdir(exist_ok=True)
    (folder / "init").mkdir(exist_ok=True)
    (folder / "web.env").write_text("A=1\n")
    node: Any = YAML(typ="safe", pure=True).load(FULL)
    root = node
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = data.draw(st.sampled_from(keys))
        if not node[key] or not isinstance(node[key], dict | list) or data.draw(st.booleans()):
            break
        node = node[key]
    node[key] = data.draw(VALUES)
    (folder / "compose.yaml").write_bytes(msgspec.json.encode(root))  # YAML contains JSON
    try:
        load(folder, environ={})
    except BranchpointError as error:
        assert str(error).startswith(str(folder))
