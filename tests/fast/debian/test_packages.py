"""Debian packages: where they come from, what a list of them needs, and their files."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from branchpoint.debian import mirrors
from branchpoint.errors import ImageError, SetupError
from branchpoint.guest import debian, rootfs


@pytest.fixture
def empty_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("BRANCHPOINT_CACHE", str(path))
    return path


def test_without_a_mirror_the_error_says_where_to_add_one(
    tmp_path: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirrors, "SOURCES", tmp_path)
    with pytest.raises(SetupError, match=r"sources\.list"):
        debian.resolve(["busybox-static"])


def test_without_network_the_error_says_so(
    empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    with pytest.raises(SetupError, match=r"package index[\s\S]*check the network"):
        debian.resolve(["busybox-static"])


@pytest.mark.parametrize(
    "name", ["-oDpkg::Pre-Invoke::=touch", "--yes", "./x.deb", "a b", "x*", "bash-", "", "A"]
)
def test_only_package_names_reach_apt(name: str) -> None:
    with pytest.raises(ImageError, match="not the name"):
        debian.resolve([name])


def test_packages_resolve_and_unpack() -> None:
    debs = debian.resolve(["busybox-static", "libc-bin"])
    assert {deb.name for deb in debs} >= {"busybox-static", "libc-bin", "libc6"}
    assert [deb.name for deb in debs] == sorted(deb.name for deb in debs)
    for deb in debs:
        assert hashlib.sha256(deb.path.read_bytes()).hexdigest() == deb.sha256
    tree = debian.unpack(debs)
    rootfs.complete(tree)
    assert "lib/x86_64-linux-gnu/libc.so.6" in tree
    loader = "ld-linux-x86-64.so.2"
    assert tree.real_path(f"lib64/{loader}") == f"usr/lib/x86_64-linux-gnu/{loader}"
    assert b"root:x:0:0" in tree.read("etc/passwd")
    order = debian.fingerprint(["libc-bin", "busybox-static"])
    assert order == debian.fingerprint(["busybox-static", "libc-bin"])
    only = debian.resolve(["libc-bin"], keep=lambda name: name == "libc-bin")
    assert [deb.name for deb in only] == ["libc-bin"]


def test_an_unknown_package_is_named() -> None:
    with pytest.raises(ImageError) as caught:
        debian.resolve(["libc-bin", "no-such-package-here", "busybox-static", "none.either"])
    assert caught.value.message.partition("has no package ")[2] == (
        "no-such-package-here, none.either"
    ), "and none of those that it has"
