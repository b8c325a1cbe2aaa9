"""What a system image has for files of the project, secrets, and shared networks."""

from __future__ import annotations

import json
import socket
import stat
import textwrap
from pathlib import Path
from typing import Any

import pytest
from imagefiles import TestImage, layer, member

from branchpoint.errors import ImageError
from branchpoint.guest.tree import Tree
from branchpoint.system.bundle import layout
from branchpoint.system.compose.reading import load
from branchpoint.system.images import projectfiles
from branchpoint.system.images.finding import find_images

FILES = layer(
    member("etc"),
    member("etc/passwd", b"root:x:0:0::/root:/bin/sh\nweb:x:33:34::/:/bin/sh\n"),
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRANCHPOINT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """With a file in a folder of a folder."""
    folder = tmp_path / "project"
    (folder / "data/deep").mkdir(parents=True)
    (folder / "data/deep/file").write_text("content")
    return folder


def system_tree(project: Path, text: str) -> Tree:
    TestImage([FILES], {"Cmd": ["/x"]}).docker(project / "i.tar")
    (project / "compose.yaml").write_text(textwrap.dedent(text))
    system = load(project, environ={})
    return layout.system_tree(system, find_images(system))


def mounts(tree: Tree, name: str) -> dict[str, dict[str, Any]]:
    config = json.loads(tree.read(f"branchpoint/containers/{name}/config.json"))
    return {mount["destination"]: mount for mount in config["mounts"]}


def script(tree: Tree) -> str:
    return tree.read("branchpoint/setup.sh").decode()


def test_a_source_that_is_written_to_has_one_layer_for_all(project: Path) -> None:
    tree = system_tree(
        project,
        """\
        services:
          reader: {image: ./i.tar, volumes: ['./data/deep:/deep:ro', './compose.yaml:/c:ro']}
          writer: {image: ./i.tar, volumes: ['./data:/data']}
        """,
    )
    reader, writer = mounts(tree, "reader.1"), mounts(tree, "writer.1")
    assert writer["/data"]["source"] == "/run/branchpoint/b/0/files"
    assert "rw" in writer["/data"]["options"]
    assert reader["/deep"]["source"] == "/run/branchpoint/b/0/files/deep"
    assert "ro" in reader["/deep"]["options"]
    assert reader["/c"]["source"].startswith("/system/branchpoint/binds/"), "nobody writes to it"
    (line,) = [line for line in script(tree).splitlines() if line.startswith("overlay /system/b")]
    _, lower, rw, place = line.split()
    assert (rw, place) == ("/run/branchpoint/b/0/rw", "/run/branchpoint/b/0/files")
    assert tree.read(f"{lower.removeprefix('/system/')}/deep/file") == b"content"


def test_a_writable_file_is_a_copy(project: Path) -> None:
    tree = system_tree(project, "services: {a: {image: ./i.tar, volumes: ['./data/deep/file:/f']}}")
    assert mounts(tree, "a.1")["/f"]["source"] == "/run/branchpoint/b/0/files"
    (line,) = [line for line in script(tree).splitlines() if line.startswith("cp -p /system/")]
    assert tree.read(line.split()[2].removeprefix("/system/")) == b"content"


def test_the_first_that_may_write_owns_the_copy(project: Path) -> None:
    tree = system_tree(
        project,
        """\
        services:
          a: {image: ./i.tar, user: root, volumes: ['./data:/data:ro']}
          b: {image: ./i.tar, user: web, volumes: ['./data:/data']}
          c: {image: ./i.tar, user: root, volumes: ['./data:/data', './new:/new']}
        """,
    )
    lines = [line for line in script(tree).splitlines() if "/branchpoint/b/" in line]
    assert "chown 33:34 /run/branchpoint/b/0/rw/upper" in lines
    assert "chown 0:0 /run/branchpoint/b/1/rw/upper" in lines
    lower = next(line.split()[1] for line in lines if line.endswith("/b/0/files"))
    node = tree.get(f"{lower.removeprefix('/system/')}/deep/file")
    assert node is not None and (node.uid, node.gid) == (33, 34)
    empty = next(line.split()[1] for line in lines if line.endswith("/b/1/files"))
    node = tree.get(empty.removeprefix("/system/"))
    assert node is not None and not node.children and stat.S_ISDIR(node.mode)


def test_where_the_project_lies_decides_nothing(project: Path, tmp_path: Path) -> None:
    text = "services: {a: {image: ./i.tar, volumes: ['./z:/z', './data:/d', './data/deep:/e:ro']}}"
    elsewhere = tmp_path / "another" / "place"
    elsewhere.parent.mkdir()
    here = script(system_tree(project, text))
    project.rename(elsewhere)
    assert script(system_tree(elsewhere, text)) == here
    assert str(tmp_path) not in here


def test_changed_files_make_another_image(project: Path) -> None:
    TestImage([FILES], {"Cmd": ["/x"]}).docker(project / "i.tar")
    text = "services: {a: {image: ./i.tar, volumes: ['./data:/d', './gone:/g']}}"
    (project / "compose.yaml").write_text(text)
    first = layout.build(project, environ={}).digest
    assert layout.build(project, environ={}).digest == first
    (project / "data/new").write_text("")
    second = layout.build(project, environ={}).digest
    (project / "gone").mkdir()
    (project / "gone/file").write_text("here")
    assert len({first, second, layout.build(project, environ={}).digest}) == 3


def test_places_of_the_machine_are_read_only_to_their_depth(project: Path) -> None:
    tree = system_tree(project, "services: {a: {image: ./i.tar, volumes: ['/:/host:ro']}}")
    assert mounts(tree, "a.1")["/host"] == {
        "destination": "/host",
        "type": "bind",
        "source": "/",
        "options": ["rbind", "rprivate", "rro"],
    }


def test_secrets_have_their_owner_and_mode(project: Path) -> None:
    tree = system_tree(
        project,
        """\
        services:
          a:
            image: ./i.tar
            secrets: [{source: key, uid: "33", gid: "34", mode: 0400}]
            configs: [text, {source: dir, target: /etc/app}]
        secrets: {key: {file: ./data/deep/file}}
        configs: {text: {content: hello}, dir: {file: ./data}}
        """,
    )
    found = mounts(tree, "a.1")
    assert all("ro" in found[place]["options"] for place in ("/run/secrets/key", "/text"))

    def at(place: str) -> str:
        return str(found[place]["source"]).removeprefix("/system/")

    node = tree.get(at("/run/secrets/key"))
    assert node is not None
    assert (node.uid, node.gid, stat.S_IMODE(node.mode)) == (33, 34, 0o400)
    assert tree.read(at("/run/secrets/key")) == b"content"
    assert tree.read(at("/text")) == b"hello"
    assert tree.read(f"{at('/etc/app')}/deep/file") == b"content"


SHARED = """\
services:
  web: {image: ./i.tar, hostname: front, extra_hosts: ['up:host-gateway']}
  side: {image: ./i.tar, network_mode: "service:web", dns: 10.0.0.5, dns_search: a.test}
  host: {image: ./i.tar, network_mode: host}
  client: {image: ./i.tar, links: ['web:db']}
"""


def test_networks_are_shared(project: Path) -> None:
    tree = system_tree(project, SHARED)

    def text(name: str) -> str:
        return tree.read(f"branchpoint/{name}").decode()

    host = text("network/host")
    assert "netns add web.1\n" in host and "netns attach host.1 1\n" in host
    assert "side.1" not in host
    assert "ip -n side.1" not in script(tree) and "ip -n host.1" in script(tree)
    spaces = {}
    for name in ("web.1", "side.1", "host.1"):
        config = json.loads(text(f"containers/{name}/config.json"))
        spaces[name] = next(
            n["path"] for n in config["linux"]["namespaces"] if n["type"] == "network"
        )
        assert bool(config["linux"]["sysctl"]) == (name == "web.1")
    assert spaces == {
        "web.1": "/run/netns/web.1",
        "side.1": "/run/netns/web.1",
        "host.1": "/run/netns/host.1",
    }
    assert "container side.1\nbundle" in text("system.conf")
    assert "netns web.1\ndepends web.1 started" in text("system.conf")


def test_names_of_links_and_of_the_machine(project: Path) -> None:
    tree = system_tree(project, SHARED)

    def hosts(name: str) -> str:
        return tree.read(f"branchpoint/containers/{name}/etc/hosts").decode()

    assert hosts("client.1").endswith("\n10.89.0.3 client-1\n")
    conf = tree.read("branchpoint/system.conf").decode()
    assert "address default 10.89.0.2 web web.1 front\n" in conf.partition("container client.1")[0]
    assert "\nlink db web.1\n" in conf.partition("container client.1")[2]
    assert "10.89.0.1 up\n" in hosts("web.1")
    assert hosts("side.1") == hosts("web.1")
    assert "10.89" not in hosts("host.1"), "as with the engines: it knows nobody's name"
    assert tree.read("branchpoint/containers/side.1/etc/resolv.conf") == (
        b"nameserver 127.0.0.11\nsearch a.test\noptions ndots:0\n"
    )
    assert tree.read("branchpoint/containers/web.1/etc/resolv.conf").endswith(b"ndots:0\n")
    assert tree.read("branchpoint/containers/host.1/etc/resolv.conf").startswith(b"# No name")


def test_project_files_do_not_depend_on_the_checkout(tmp_path: Path) -> None:
    first, second = tmp_path / "one", tmp_path / "two"
    for folder, mode in ((first, 0o600), (second, 0o664)):
        (folder / "sub").mkdir(parents=True)
        (folder / "sub" / "f").write_text("f")
        (folder / "sub" / "f").chmod(mode)
        (folder / "run").write_text("r")
        (folder / "run").chmod(mode | 0o100)
        (folder / "link").symlink_to("run")
    (second / "__pycache__").mkdir()
    assert projectfiles.digest(first) == projectfiles.digest(second)
    trees = [Tree(), Tree()]
    for folder, tree in zip((first, second), trees, strict=True):
        projectfiles.copy(folder, tree, "there")
    found = [[(p, n.mode, n.uid, n.mtime, n.target) for p, n in t.walk()] for t in trees]
    assert found[0] == found[1]
    assert trees[1].get("there/run").mode & 0o777 == 0o755  # type: ignore[union-attr]
    (second / "run").chmod(0o600)
    assert projectfiles.digest(first) != projectfiles.digest(second)


def test_project_files_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projectfiles, "MAX_FILES", 3)
    for name in "abcd":
        (tmp_path / name).write_text(name)
    with pytest.raises(ImageError, match="more than 3 files"):
        projectfiles.digest(tmp_path)
    (tmp_path / "s").mkdir()
    with socket.socket(socket.AF_UNIX) as endpoint:
        endpoint.bind(str(tmp_path / "s" / "sock"))
        with pytest.raises(ImageError, match="neither a file, a directory nor a symbolic link"):
            projectfiles.digest(tmp_path / "s")
