"""From services and images to a running system: OCI bundles, setup.sh, system.conf, hosts."""

from __future__ import annotations

import json
import shutil
import subprocess
import textwrap
from pathlib import Path
from typing import Any

import pytest
from imagefiles import TestImage, layer, member

from branchpoint.errors import ComposeError, ImageError
from branchpoint.guest.tree import Tree
from branchpoint.system.bundle import layout
from branchpoint.system.bundle.oci import INIT_PATH
from branchpoint.system.bundle.runtime_files import hosts, resolv_conf
from branchpoint.system.compose.reading import load
from branchpoint.system.images.finding import find_images

FILES = layer(
    member("etc"),
    member("etc/passwd", b"root:x:0:0::/root:/bin/sh\nweb:x:33:33::/srv/web:/bin/sh\n"),
    member("etc/group", b"root:x:0:\nweb:x:33:\nlog:x:44:web\n"),
    member("data", uid=33, gid=33),
    member("data/seed", b"seed"),
    member("empty"),
)
RUN = {
    "Env": ["A=image", "B=image", "PATH=/own/bin"],
    "Entrypoint": ["/start"],
    "Cmd": ["serve"],
    "WorkingDir": "/srv",
    "Healthcheck": {
        "Test": ["CMD-SHELL", "ping -c 1 $A"],
        "Timeout": 2 * 10**9,
        "StartInterval": 3 * 10**8,
    },
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRANCHPOINT_CACHE", str(tmp_path / "cache"))


def system_tree(tmp_path: Path, text: str, run: dict[str, Any] | None = None) -> Tree:
    TestImage([FILES], RUN if run is None else run).docker(tmp_path / "i.tar")
    (tmp_path / "compose.yaml").write_text(textwrap.dedent(text))
    system = load(tmp_path, environ={})
    return layout.system_tree(system, find_images(system))


def bundle(tree: Tree, name: str = "a.1") -> dict[str, Any]:
    config: dict[str, Any] = json.loads(tree.read(f"branchpoint/containers/{name}/config.json"))
    return config


def service(tmp_path: Path, keys: str, run: dict[str, Any] | None = None) -> dict[str, Any]:
    """The bundle of a service with these keys."""
    body = textwrap.indent(textwrap.dedent(keys), "    ")
    tree = system_tree(tmp_path, f"services:\n  a:\n    image: ./i.tar\n{body}", run)
    return bundle(tree)


def mounts(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {mount["destination"]: mount for mount in config["mounts"]}


# --- the process ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "args"),
    [
        ("", ["/start", "serve"]),
        ("command: go now", ["/start", "go", "now"]),
        ("entrypoint: /other", ["/other"]),
        ("entrypoint: /other\ncommand: [x]", ["/other", "x"]),
        ("entrypoint: []\ncommand: [x]", ["x"]),
        ("command: []", ["/start", "serve"]),
        ("command: ''", ["/start", "serve"]),
        ("entrypoint: []\ncommand: []", ["serve"]),
        ("entrypoint: ''", ["serve"]),
        ("entrypoint: ['']\ncommand: [x]", ["x"]),
    ],
)
def test_arguments(tmp_path: Path, keys: str, args: list[str]) -> None:
    assert service(tmp_path, keys)["process"]["args"] == args


def test_nothing_to_run(tmp_path: Path) -> None:
    with pytest.raises(
        ImageError, match=r'compose\.yaml:\d+: service "a": there is no command to run'
    ):
        service(tmp_path, "entrypoint: []", {})


SDK = [
    "ANTITHESIS_OUTPUT_DIR=/dev/branchpoint/sdk",
    "ANTITHESIS_SDK_LOCAL_OUTPUT=/dev/branchpoint/sdk/sdk.jsonl",
    "ANTITHESIS_STOP_FAULTS=/dev/branchpoint/sdk/stop-faults",
]


def test_environment(tmp_path: Path) -> None:
    process = service(tmp_path, "environment: {B: own, C: ''}\nuser: web\n")["process"]
    assert process["env"] == [
        "PATH=/own/bin", "HOSTNAME=a-1", "A=image", "B=own", "C=", "HOME=/srv/web", *SDK,
    ]  # fmt: skip
    assert process["cwd"] == "/srv"
    assert process["user"] == {"uid": 33, "gid": 33, "additionalGids": [44]}


def test_a_name_alone_takes_the_images_value_away(tmp_path: Path) -> None:
    process = service(tmp_path, "environment: [A, PATH, HOME]")["process"]
    assert process["env"] == ["HOSTNAME=a-1", "B=image", "HOME=/root", *SDK]


def test_unknown_users_are_located(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r'compose\.yaml:4: service "a": .*no user "bob"'):
        service(tmp_path, "user: bob")


def test_default_capabilities_are_dockers(tmp_path: Path) -> None:
    given = service(tmp_path, "")["process"]["capabilities"]
    assert len(given["bounding"]) == 14
    assert given["effective"] == given["permitted"] == given["bounding"]
    assert given["inheritable"] == given["ambient"] == []
    assert "CAP_NET_RAW" in given["bounding"]
    assert "CAP_SYS_ADMIN" not in given["bounding"]


def test_other_users_have_a_bounding_set_only(tmp_path: Path) -> None:
    given = service(tmp_path, "user: '1000'")["process"]["capabilities"]
    assert (len(given["bounding"]), given["effective"], given["permitted"]) == (14, [], [])


@pytest.mark.parametrize(
    ("keys", "has", "lacks"),
    [
        ("cap_add: [SYS_TIME]", ["SYS_TIME", "CHOWN"], ["SYS_ADMIN"]),
        ("cap_drop: [CHOWN]", ["KILL"], ["CHOWN"]),
        ("cap_drop: [ALL]\ncap_add: [CHOWN]", ["CHOWN"], ["KILL"]),
        ("cap_add: [ALL]\ncap_drop: [SYS_ADMIN]", ["SYS_TIME"], ["SYS_ADMIN"]),
        ("privileged: true", ["SYS_ADMIN", "SYS_MODULE", "CHECKPOINT_RESTORE"], []),
    ],
)
def test_capabilities(tmp_path: Path, keys: str, has: list[str], lacks: list[str]) -> None:
    given = service(tmp_path, keys)["process"]["capabilities"]["bounding"]
    assert {f"CAP_{name}" for name in has} <= set(given)
    assert not {f"CAP_{name}" for name in lacks} & set(given)


def test_limits(tmp_path: Path) -> None:
    config = service(
        tmp_path,
        """\
        ulimits: {nofile: 99, memlock: -1}
        mem_limit: 64m
        cpus: 0.25
        pids_limit: 7
        oom_score_adj: -5
        """,
    )
    limits = {r["type"]: (r["soft"], r["hard"]) for r in config["process"]["rlimits"]}
    assert limits["RLIMIT_NOFILE"] == (99, 99)
    assert limits["RLIMIT_MEMLOCK"] == (2**64 - 1, 2**64 - 1)
    resources = config["linux"]["resources"]
    assert resources["memory"] == {"limit": 64 << 20}
    assert resources["cpu"] == {"period": 100_000, "quota": 25_000}
    assert resources["pids"] == {"limit": 7}
    assert config["process"]["oomScoreAdj"] == -5


def test_init(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout.debian, "resolve", lambda *_, **__: [])
    tini = Tree()
    tini.add_file("usr/bin/tini-static", b"tini", 0o755)
    monkeypatch.setattr(layout.debian, "unpack", lambda _: tini)
    text = "services: {a: {image: ./i.tar, init: true}, b: {image: ./i.tar}}"
    tree = system_tree(tmp_path, text)
    assert bundle(tree)["process"]["args"] == [INIT_PATH, "--", "/start", "serve"]
    assert mounts(bundle(tree))[INIT_PATH]["source"] == "/system/branchpoint/init"
    assert tree.read("branchpoint/init") == b"tini"
    assert INIT_PATH not in mounts(bundle(tree, "b.1"))


# --- the container -------------------------------------------------------------------------------


def test_isolation(tmp_path: Path) -> None:
    config = service(tmp_path, "hostname: h\nread_only: true\nsysctls: {net.ipv4.ip_forward: 1}")
    assert config["root"] == {"path": "/run/branchpoint/c/a.1/rootfs", "readonly": True}
    assert config["hostname"] == "h"
    linux = config["linux"]
    assert {"type": "network", "path": "/run/netns/a.1"} in linux["namespaces"]
    assert {n["type"] for n in linux["namespaces"]} == {
        "pid", "ipc", "uts", "mount", "cgroup", "network",
    }  # fmt: skip
    assert linux["cgroupsPath"] == "/branchpoint/a.1"
    assert linux["sysctl"]["net.ipv4.ip_forward"] == "1"
    assert linux["sysctl"]["net.ipv4.ip_unprivileged_port_start"] == "0"
    assert "/proc/kcore" in linux["maskedPaths"]
    assert "/proc/sys" in linux["readonlyPaths"]
    assert linux["resources"]["devices"] == [{"allow": False, "access": "rwm"}]


def test_privileged(tmp_path: Path) -> None:
    config = service(tmp_path, "privileged: true")
    assert config["linux"]["maskedPaths"] == []
    assert "rw" in mounts(config)["/sys"]["options"]


def test_mounts(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "x").write_text("x")
    config = service(
        tmp_path,
        """\
        volumes:
          - ./conf:/etc/conf/deep:ro
          - type: tmpfs
            target: /etc/conf
            tmpfs: {size: 1m}
          - /data
        tmpfs: ["/run:exec,mode=755"]
        shm_size: 1m
        """,
    )
    order = [mount["destination"] for mount in config["mounts"]]
    assert order.index("/etc/conf") < order.index("/etc/conf/deep")
    found = mounts(config)
    deep = found["/etc/conf/deep"]
    assert deep["source"].startswith("/system/branchpoint/binds/")
    assert deep["options"] == ["rbind", "rprivate", "ro"]
    assert found["/etc/conf"]["options"] == ["nosuid", "nodev", "noexec", "size=1048576"]
    assert found["/run"]["options"] == ["exec", "nosuid", "nodev", "mode=755"]
    assert found["/data"]["source"] == "/run/branchpoint/c/a.1/rw/volumes/0"
    assert "size=1048576" in found["/dev/shm"]["options"]
    assert found["/etc/hosts"]["options"][-1] == "rw"


def test_volumes_of_the_image(tmp_path: Path) -> None:
    run = {**RUN, "Volumes": {"/data": {}, "/other/": {}, "relative": {}}}
    tree = system_tree(
        tmp_path,
        "services: {a: {image: ./i.tar, volumes: ['v:/data']}}\nvolumes: {v: }",
        run,
    )
    found = mounts(bundle(tree))
    assert found["/data"]["source"] == "/run/branchpoint/v/v"
    assert found["/other"]["source"] == "/run/branchpoint/c/a.1/rw/volumes/0"
    assert not any("relative" in target for target in found)


# --- setup.sh and system.conf --------------------------------------------------------------------

PAIR = """\
services:
  a:
    image: ./i.tar
    scale: 2
    volumes: ["v:/data", "w:/empty", "u:/none"]
    environment: {TEXT: "100%\\nnext"}
    networks: {n: {aliases: [front]}, m: }
    restart: on-failure:4
    stop_signal: SIGRTMIN+3
    stop_grace_period: 2s
  b:
    image: ./i.tar
    volumes: ["v:/data"]
    depends_on: {a: {condition: service_healthy}}
    healthcheck: {disable: true}
    networks: [m]
    extra_hosts: {up: 192.0.2.1}
networks:
  n: {internal: true}
  m: {ipam: {config: [{subnet: 10.7.0.0/16}]}}
volumes: {v: {driver_opts: {o: "size=1m,uid=5"}}, w: , u: }
"""


def test_setup(tmp_path: Path) -> None:
    tree = system_tree(tmp_path, PAIR)
    text = tree.read("branchpoint/setup.sh").decode()
    assert tree.get("branchpoint/setup.sh").mode & 0o777 == 0o755  # type: ignore[union-attr]
    assert "mount -t tmpfs -o size=1048576,mode=755,uid=5 branchpoint" in text
    # the first container fills the volume with its content; the others find it there
    assert text.count("fill ") == 2
    assert 'fill "$run/c/a.1/rootfs"/data /run/branchpoint/v/v' in text
    image = next(name for name in tree.get("images").children)  # type: ignore[union-attr]
    assert f'overlay "/system/images/{image}" "$run/c/b.1/rw"' in text
    assert tree.read(f"images/{image}/data/seed") == b"seed"
    names = 'nsenter --net=/run/netns/b.1 nft -f "$here/network/names"'
    assert names in text and "61053" in tree.read("branchpoint/network/names").decode()
    for shell in ("sh", "dash", "busybox"):
        if shutil.which(shell):
            command = [shell, "sh", "-n"] if shell == "busybox" else [shell, "-n"]
            subprocess.run(command, input=text.encode(), check=True)


def test_networks(tmp_path: Path) -> None:
    tree = system_tree(tmp_path, PAIR)
    host = tree.read("branchpoint/network/host").decode().splitlines()
    assert "addr add 10.7.0.1/16 dev br-m" in host
    assert "netns add a.2" in host
    assert (
        "link add veth1.0 address 02:43:0a:59:00:03 type veth peer name eth0 "
        "address 02:42:0a:59:00:03 netns a.2" in host
    )
    inside = tree.read("branchpoint/network/containers/a.2").decode().splitlines()
    assert inside == [
        "link set lo up",
        "addr add 10.89.0.3/24 broadcast + dev eth0",
        "link set eth0 up",
        "addr add 10.7.0.3/16 broadcast + dev eth1",
        "link set eth1 up",
        "route add default via 10.7.0.1 dev eth1",  # n is internal
    ]


def test_names(tmp_path: Path) -> None:
    system_tree(tmp_path, PAIR)
    system = load(tmp_path, environ={})
    first, _, last = system.containers
    lines = hosts(system, first).splitlines()
    assert lines[0] == "127.0.0.1 localhost"
    assert lines[4:] == ["10.89.0.2 a-1", "10.7.0.2 a-1"]
    assert hosts(system, last).splitlines()[4:] == ["10.7.0.4 b-1", "192.0.2.1 up"]
    assert resolv_conf(system, first) == "nameserver 127.0.0.11\noptions ndots:0\n"


@pytest.mark.parametrize("server", ["10.7.0.2", "127.0.0.1"])
def test_a_name_server_of_the_system_is_asked_instead(tmp_path: Path, server: str) -> None:
    keys = f"extra_hosts: {{up: 192.0.2.1}}\n    links: [a:c]\n    dns: [{server}]"
    system_tree(tmp_path, PAIR.replace("extra_hosts: {up: 192.0.2.1}", keys))
    system = load(tmp_path, environ={})
    last = system.containers[-1]
    assert resolv_conf(system, last) == f"nameserver {server}\n"
    assert hosts(system, last).splitlines()[4:] == [
        "10.7.0.4 b-1 b b.1",
        "10.7.0.2 a a.1 a-1 c",
        "10.7.0.3 a a.2 a-2 c",
        "192.0.2.1 up",
    ]


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ("dns: 192.0.2.9", "nameserver 127.0.0.11\noptions ndots:0\n"),
        (
            "dns_search: [a.test, b.test]\n    dns_opt: ['timeout:1']",
            "nameserver 127.0.0.11\nsearch a.test b.test\noptions timeout:1 ndots:0\n",
        ),
        ("dns_opt: ['ndots:2']", "nameserver 127.0.0.11\noptions ndots:2\n"),
    ],
)
def test_a_name_server_outside_is_not(tmp_path: Path, keys: str, text: str) -> None:
    system_tree(tmp_path, PAIR.replace("networks: [m]", f"networks: [m]\n    {keys}"))
    system = load(tmp_path, environ={})
    assert resolv_conf(system, system.containers[-1]) == text
    assert len(hosts(system, system.containers[-1]).splitlines()) == 6


def test_configuration(tmp_path: Path) -> None:
    text = system_tree(tmp_path, PAIR).read("branchpoint/system.conf").decode()
    first, second, last = text.split("container ")[1:]
    assert first.splitlines() == [
        "a.1",
        "bundle /system/branchpoint/containers/a.1",
        "rootfs /run/branchpoint/c/a.1/rootfs",
        "netns a.1",
        "address n 10.89.0.2 a a.1 front a-1",
        "address m 10.7.0.2 a a.1 a-1",
        "healthcheck 30000000000 2000000000 3 0 300000000",
        "healtharg /bin/sh",
        "healtharg -c",
        "healtharg ping -c 1 $A",
        "restart on-failure 4",
        "stop 37 2000000000",
        "env PATH=/own/bin",
        "env HOSTNAME=a-1",
        "env A=image",
        "env B=image",
        "env TEXT=100%25%0Anext",
        "env HOME=/root",
        *(f"env {entry}" for entry in SDK),
        "mount /run/branchpoint/c/a.1/etc/hosts /etc/hosts",
        "mount /run/branchpoint/c/a.1/etc/hostname /etc/hostname",
        "mount /run/branchpoint/c/a.1/etc/resolv.conf /etc/resolv.conf",
        "mount /run/branchpoint/v/v /data",
        "mount /run/branchpoint/v/w /empty",
        "mount /run/branchpoint/v/u /none",
        "mount /run/branchpoint/sdk/a.1 /dev/branchpoint/sdk",
        "mount /usr/lib/branchpoint/stop-faults /dev/branchpoint/sdk/stop-faults",
        "mount /usr/lib/branchpoint/libvoidstar.so /usr/lib/libvoidstar.so",
        "workdir /srv",
        "user 0 0",
        "limit 4 0 18446744073709551615",
        "limit 7 1024 524288",
    ]
    assert second.startswith("a.2\n")
    assert "depends a.1 healthy\ndepends a.2 healthy\n" in last
    assert "healthcheck" not in last


def test_waiting_for_a_health_nobody_asks_for(tmp_path: Path) -> None:
    text = (
        "services:\n  a: {image: ./i.tar}\n  b:\n    image: ./i.tar\n"
        "    depends_on:\n      a: {condition: service_healthy}\n"
    )
    with pytest.raises(ComposeError, match=r'compose\.yaml:6: service "b" waits until "a.1" is'):
        system_tree(tmp_path, text, {"Cmd": ["x"]})


def test_the_cache_key_follows_what_matters(tmp_path: Path) -> None:
    (tmp_path / "conf").write_text("1")
    text = "services: {a: {image: ./i.tar, volumes: ['./conf:/conf:ro']}}"

    def key(body: str) -> str:
        system_tree(tmp_path, body)
        system = load(tmp_path, environ={})
        return layout._key(system, find_images(system))

    first = key(text)
    assert key(f"# a comment\n{text}\n# another") == first
    machine = "{ram: 2g, cpu: 250MHz, fault: {kill: a, between: [1s, 2s]}}"
    assert key(f"{text}\nx-branchpoint: {machine}") == first
    assert key(text.replace("}}", ", command: x}}")) != first
    (tmp_path / "conf").write_text("2")
    assert key(text) != first


def test_a_missing_working_directory_is_made(tmp_path: Path) -> None:
    text = "services: {a: {image: ./i.tar}, b: {image: ./i.tar, working_dir: /data/deep/er}}"
    tree = system_tree(tmp_path, text, {**RUN, "WorkingDir": "relative/../here"})
    assert bundle(tree)["process"]["cwd"] == "/here"
    setup = tree.read("branchpoint/setup.sh").decode()
    assert 'mkdir -p "$run/c/a.1/rootfs"/here\n' in setup
    assert 'mkdir -p "$run/c/b.1/rootfs"/data/deep/er\n' in setup


def test_links_of_the_image_do_not_lead_out_of_it() -> None:
    tree = Tree()
    tree.add_symlink("srv", "/etc")
    tree.add_dir("etc")
    tree.add_symlink("dangling", "/nowhere")
    assert layout._settled(tree, "/srv/x/y") == "etc/x/y"
    assert layout._settled(tree, "/srv") == "etc"
    assert layout._settled(tree, "/new/x") == "new/x"
    assert layout._settled(tree, "/dangling/x") is None


def test_a_host_name_without_dots_is_nobody_elses_name(tmp_path: Path) -> None:
    system_tree(tmp_path, "services: {a: {image: ./i.tar}, a-1: {image: ./i.tar}}")
    first, second = load(tmp_path, environ={}).containers
    assert [first.hostname, second.hostname] == ["a.1", "a-1-1"]
