"""What a container may become, and what it is given at its start: versions, hooks, devices."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from imagefiles import TestImage, layer, member

from branchpoint.errors import ComposeError
from branchpoint.guest.tree import Tree
from branchpoint.system.bundle import layout, seccomp
from branchpoint.system.bundle.setup_script import rooted
from branchpoint.system.compose.reading import load
from branchpoint.system.images.finding import find_images
from branchpoint.system.model import System

STORE = """
services:
  store:
    image: ./old.tar
    command: [serve, --port, "80"]
    environment: {A: "1", B: "2"}
    volumes: [data:/data, /anon]
    depends_on: [other]
    scale: 2
    x-branchpoint: {timer_slack: 1ms, versions: [newer, tuned]}
  newer:
    image: ./new.tar
    environment: {B: "3"}
    volumes: [/more]
    scale: 0
  tuned: {image: ./old.tar, command: [serve, --fast], scale: 0}
  other: {image: ./old.tar, command: [wait]}
volumes: {data: {}}
"""


@pytest.fixture(autouse=True)
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRANCHPOINT_CACHE", str(tmp_path / "cache"))
    for name in ("old", "new"):
        files = layer(member("etc"), member("etc/release", name.encode()), member("anon"))
        TestImage([files], {"Env": [f"IMAGE={name}"]}).docker(tmp_path / f"{name}.tar")


def read(tmp_path: Path, text: str) -> System:
    (tmp_path / "compose.yaml").write_text(text)
    return load(tmp_path, environ={})


def made(tmp_path: Path, text: str) -> Tree:
    system = read(tmp_path, text)
    return layout.system_tree(system, find_images(system))


def said(tree: Tree, path: str) -> str:
    return tree.read(f"branchpoint/{path}").decode()


def configured(tree: Tree, path: str) -> dict[str, Any]:
    config: dict[str, Any] = json.loads(said(tree, f"containers/{path}/config.json"))
    return config


def parts(tree: Tree, container: str) -> list[list[str]]:
    """The lines of a container in system.conf, cut where a version of it begins."""
    text = said(tree, "system.conf")
    own = text.split(f"container {container}\n")[1].split("\ncontainer ")[0]
    return [part.splitlines() for part in own.split("version ")]


# --- versions ------------------------------------------------------------------------------------


def test_a_version_says_what_is_different(tmp_path: Path) -> None:
    tree = made(tmp_path, STORE)
    process = configured(tree, "store.1/versions/newer")["process"]
    assert process["args"] == ["serve", "--port", "80"]
    assert {"A=1", "B=3", "IMAGE=new"} <= set(process["env"])
    assert {"A=1", "B=2", "IMAGE=old"} <= set(configured(tree, "store.1")["process"]["env"])
    tuned = configured(tree, "store.2/versions/tuned")
    assert tuned["process"]["args"] == ["serve", "--fast"]
    assert tuned["hostname"] == configured(tree, "store.2")["hostname"] == "store-2"


def test_volumes_stay_where_they_are(tmp_path: Path) -> None:
    def places(config: dict[str, Any]) -> dict[str, str]:
        return {m["destination"]: m["source"] for m in config["mounts"] if m["type"] == "bind"}

    tree = made(tmp_path, STORE)
    first, newer = (
        places(configured(tree, path)) for path in ("store.1", "store.1/versions/newer")
    )
    assert all(newer[where] == first[where] for where in ("/data", "/anon", "/etc/hosts"))
    assert newer["/more"] not in first.values()


def test_the_agent_is_told_of_each_version(tmp_path: Path) -> None:
    tree = made(tmp_path, STORE)
    begin, first, newer, tuned = parts(tree, "store.1")
    assert begin == []
    assert [part[0] for part in (first, newer, tuned)] == ["store", "newer", "tuned"]
    for part in (first, newer, tuned):
        assert part[1].startswith("renew /system/branchpoint/containers/store.1")
        assert "slack 1000000" in part and any(line.startswith("address ") for line in part)
    assert "depends other.1 started" in first and "depends other.1 started" not in newer
    assert len(parts(tree, "other.1")) == 1


def test_a_file_system_is_made_anew_by_a_script(tmp_path: Path) -> None:
    tree = made(tmp_path, STORE)
    text = said(tree, "containers/store.1/versions/newer/renew.sh")
    program = shutil.which("dash") or "/bin/sh"
    subprocess.run([program, "-n"], input=text.encode(), check=True)
    ((image, containers),) = rooted(text).items()
    assert containers == ["store.1"] and image not in rooted(said(tree, "setup.sh"))
    assert text.index("umount") < text.index('overlay "/system') < text.rindex("mkdir -p")
    before = text.replace(
        'overlay "/system', 'overlay "$here/lower:/system'
    )  # as earlier recordings have it
    assert rooted(before) == rooted(text)


def test_it_needs_its_own_image_only_if_it_has_one(tmp_path: Path) -> None:
    system = read(tmp_path, STORE)
    found = find_images(system)
    assert found["store as tuned"].id == found["store"].id != found["store as newer"].id
    assert [c.versions for c in system.containers if c.service == "store"] == [
        ("newer", "tuned"), ("newer", "tuned"),
    ]  # fmt: skip


def test_the_cache_key_follows_what_matters(tmp_path: Path) -> None:
    def key(text: str) -> str:
        system = read(tmp_path, text)
        return layout._key(system, find_images(system))

    assert key(STORE) == key("# a line more\n" + STORE)
    assert key(STORE) != key(STORE.replace('B: "3"', 'B: "4"'))
    assert key(STORE) != key(STORE.replace("versions: [newer, tuned]", "versions: [newer]"))


def test_a_version_behind_a_profile_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ComposeError, match='profile of "newer"') as raised:
        read(tmp_path, STORE.replace("    volumes: [/more]", "    profiles: [later]"))
    assert "scale: 0" in raised.value.hint


# --- at the start --------------------------------------------------------------------------------

HOOKED = """
services:
  a:
    image: ./old.tar
    command: [serve]
    environment: {A: "1", B: "2"}
    working_dir: /srv
    post_start:
      - {command: [one, "a%b"]}
      - {command: two words, user: root, privileged: true, working_dir: /x, environment: [B=3]}
    devices: [/dev/net/tun]
"""


def test_hooks_are_told_with_all_that_they_have(tmp_path: Path) -> None:
    (lines,) = parts(made(tmp_path, HOOKED), "a.1")
    first, second = "\n".join(lines).split("\nhook\n")[1].split("\nhook privileged\n")
    assert first.splitlines()[:2] == ["hookarg one", "hookarg a%25b"]
    assert {"hookenv A=1", "hookenv B=2", "hookdir /srv"} <= set(first.splitlines())
    assert "hookuser" not in first
    assert {"hookarg two", "hookarg words", "hookuser root", "hookdir /x", "hookenv B=3",
            "hookenv A=1"} <= set(second.splitlines())  # fmt: skip
    assert "hookenv B=2" not in second


def test_devices_are_made_and_allowed(tmp_path: Path) -> None:
    config = configured(made(tmp_path, HOOKED), "a.1")["linux"]
    assert [(d["path"], d["major"], d["minor"]) for d in config["devices"]] == [
        ("/dev/net/tun", 10, 200)
    ]
    rules = config["resources"]["devices"]
    assert rules[0] == {"allow": False, "access": "rwm"}
    assert (rules[1]["allow"], rules[1]["major"], rules[1]["minor"]) == (True, 10, 200)


def test_addresses_and_namespaces_as_asked(tmp_path: Path) -> None:
    system = read(tmp_path, """
services:
  a:
    image: ./old.tar
    mac_address: 02-42-AC-11-65-43
    networks: {one: {}, two: {mac_address: "02:42:ac:11:65:44"}}
  b: {image: ./old.tar, ipc: host}
networks: {one: {}, two: {}}
""")  # fmt: skip
    (a,) = [c for c in system.containers if c.name == "a.1"]
    assert [e.mac for e in a.endpoints] == ["02:42:ac:11:65:43", "02:42:ac:11:65:44"]
    assert not system.services["b"].own_ipc
    assert any("the machine's own" in note.text for note in system.notes)


# --- refused system calls ------------------------------------------------------------------------


def refused(*capabilities: str) -> set[str]:
    rules = seccomp.profile([f"CAP_{name}" for name in capabilities])["syscalls"]
    return {name for rule in rules for name in rule["names"] if "args" not in rule}


def test_what_is_refused_depends_on_capabilities() -> None:
    nobody = refused()
    assert {"keyctl", "mount", "bpf", "reboot", "chroot", "clone3", "ptrace"} - nobody == {"ptrace"}
    assert "chroot" not in refused("SYS_CHROOT") and "mount" in refused("SYS_CHROOT")
    assert {"bpf", "mount", "clone3", "unshare"} & refused("SYS_ADMIN") == set()
    assert "bpf" not in refused("BPF") and "keyctl" in refused("SYS_ADMIN", "BPF")


def test_containers_are_confined_unless_they_ask(tmp_path: Path) -> None:
    def has(keys: str) -> bool:
        text = f"services:\n  a: {{image: ./old.tar, command: [x], {keys}}}\n"
        return "seccomp" in configured(made(tmp_path, text), "a.1")["linux"]

    assert has("") and has("cap_add: [SYS_ADMIN]") and has("security_opt: [no-new-privileges]")
    assert not has('security_opt: ["seccomp=unconfined"]') and not has("privileged: true")
    with pytest.raises(ComposeError, match="not supported") as raised:
        has('security_opt: ["seccomp:./mine.json"]')
    assert "seccomp:unconfined" in raised.value.hint
