"""Packages that the lock names: everybody gets the same ones, or is told which ones differ."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec
import pytest
from archives import Archive, Computer, served

from branchpoint import showing
from branchpoint.debian import lists, lock, packages
from branchpoint.debian.entry import Entry, PackageList
from branchpoint.debian.fetching import Gone
from branchpoint.debian.lists import Change
from branchpoint.decoding import Malformed, from_json
from branchpoint.errors import SetupError

TOOLS = PackageList("tools", ("tool",), lambda name: name != "docs")
OTHER = PackageList("other", ("library",))


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> tuple[Archive, bytes]:
    """An archive, and the lock that names what it has."""
    folder = tmp_path_factory.mktemp("template")
    made = Archive(folder / "archive")
    made.add("library", "2:1.0+b1~x")
    made.add("docs")
    made.add("tool", "1.0", depends=["library", "docs"])
    with pytest.MonkeyPatch.context() as patch:
        Computer(folder / "computer", patch).use(made.root)
        patch.setattr(lock, "PATH", folder / "lock.json")
        lock.write(lock.Lock("trixie", "amd64"))
        lock.write(lists.pin([TOOLS, OTHER], "ab" * 16))
    return made, (folder / "lock.json").read_bytes()


@pytest.fixture
def archive(tmp_path: Path, template: tuple[Archive, bytes]) -> Archive:
    return template[0].copy(tmp_path / "archive")


@pytest.fixture
def computer(tmp_path: Path, archive: Archive, monkeypatch: pytest.MonkeyPatch) -> Computer:
    made = Computer(tmp_path / "computer", monkeypatch)
    made.use(archive.root)
    return made


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    remarks: list[str] = []
    monkeypatch.setattr(showing, "_say", remarks.append)
    return remarks


@pytest.fixture
def locked(
    tmp_path: Path,
    computer: Computer,
    template: tuple[Archive, bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The lock names what the archive has; the cache is empty."""
    monkeypatch.setattr(lock, "PATH", tmp_path / "lock.json")
    lock.PATH.write_bytes(template[1])


def versions(wanted: PackageList) -> dict[str, str]:
    return {deb.name: deb.version for deb in lists.take(wanted)}


LOCKED = {"library": "2:1.0+b1~x", "tool": "1.0"}


# -- the lock itself


def test_a_lock_names_no_mirror_and_reads_as_it_was_written(locked: None, archive: Archive) -> None:
    text = lock.PATH.read_text()
    assert str(archive.root) not in text and "file:" not in text
    found = lock.read()
    assert found.lists["tools"].needs == ["library", "tool"]
    assert found.lists["tools"].without == ["docs"]
    assert [entry.path for entry in found.packages] == [
        "pool/main/l/library/library_1.0+b1~x_amd64.deb",
        "pool/main/t/tool/tool_1.0_amd64.deb",
    ]
    lock.write(found)
    assert lock.PATH.read_text() == text


def test_a_lock_is_not_used_for_a_list_that_has_changed(locked: None) -> None:
    found = lock.read()
    assert found.entries(TOOLS) is not None
    for other in (
        PackageList("tools", ("tool", "more"), TOOLS.keep),
        PackageList("tools", ("tool",)),
        PackageList("tools", ("tool",), lambda name: name == "tool"),
        PackageList("unknown", ("tool",), TOOLS.keep),
    ):
        assert found.entries(other) is None
    found.suite = "sid"
    assert found.entries(TOOLS) is None


@pytest.mark.parametrize("damage", ["{", "[]", '{"suite": "x"}', None])
def test_a_damaged_lock_is_named(locked: None, damage: str | None) -> None:
    if damage is None:
        facts = json.loads(lock.PATH.read_text())
        damage = json.dumps(facts | {"packages": facts["packages"][1:]})
    lock.PATH.write_text(damage)
    with pytest.raises(SetupError, match=r"lock\.json[\s\S]*restore that file"):
        lists.take(TOOLS)


GOOD = {
    "name": "tool",
    "version": "1:1.0+b1~x-2",
    "path": "pool/main/t/tool/tool_1.0+b1~x-2_amd64.deb",
    "size": 5,
    "sha256": "0" * 64,
}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("path", "pool/../../etc/x_1_amd64.deb"),
        ("path", "/pool/main/t/tool/tool_1_amd64.deb"),
        ("path", "pool/main/t/.hidden/tool_1_amd64.deb"),
        ("path", "pool/main/t/tool/-tool_1_amd64.deb"),
        ("path", "pool/main/t/tool/tool_1_amd64.deb\n"),
        ("path", "pool/main/t/tool/tool 1_amd64.deb"),
        ("path", "pool/main/t/tool/tool_1_amd64.deb?x"),
        ("path", "pool/main/t/tool/tool.deb"),
        ("path", "http://example/pool/main/t/tool/tool_1_amd64.deb"),
        ("name", "../tool"),
        ("name", "-tool"),
        ("name", ""),
        ("version", "1/../../x"),
        ("version", "-1"),
        ("version", "1 2"),
        ("size", -1),
        ("size", 1 << 50),
        ("sha256", "0" * 63),
        ("sha256", "G" * 64),
    ],
)
def test_names_that_are_not_debians_are_refused(key: str, value: object) -> None:
    entry = from_json(json.dumps(GOOD).encode(), Entry)
    assert entry.file == "tool_1%3a1.0+b1~x-2_amd64.deb"
    with pytest.raises(Malformed):
        from_json(json.dumps(GOOD | {key: value}).encode(), Entry)


# -- packages of the lock


def test_packages_of_the_lock_need_no_index(
    locked: None, archive: Archive, computer: Computer
) -> None:
    with served(archive.root) as (address, asked):
        computer.use(address)
        assert versions(TOOLS) == LOCKED
    assert len(asked) == 2 and all(path.startswith("/pool/main/") for path in asked)


def test_what_only_the_pool_has_is_still_taken(
    locked: None, archive: Archive, said: list[str]
) -> None:
    archive.add("library", "3.0")
    archive.drop("tool")
    assert versions(TOOLS) == LOCKED
    assert said == [] and lists.moved([TOOLS]) == []


def test_what_is_in_the_cache_needs_no_network(
    locked: None, archive: Archive, computer: Computer
) -> None:
    first, digest = lists.take(TOOLS), lists.fingerprint(TOOLS)
    assert not any(deb.path.is_symlink() for deb in first)
    computer.use("http://127.0.0.1:1")
    for _ in range(2):
        assert (lists.take(TOOLS), lists.fingerprint(TOOLS)) == (first, digest)
        lists.keep_to_lock([TOOLS])


def test_a_damaged_file_in_the_cache_is_downloaded_again(locked: None) -> None:
    deb = lists.take(TOOLS)[0]
    good = deb.path.read_bytes()
    deb.path.write_bytes(good[:-1])
    lists.take(TOOLS)
    assert deb.path.read_bytes() == good
    deb.path.write_bytes(bytes(len(good)))
    lists.keep_to_lock([TOOLS])
    lists.take(TOOLS)
    assert deb.path.read_bytes() == good


def test_exact_versions_can_be_had_by_themselves(
    computer: Computer, archive: Archive, template: tuple[Archive, bytes]
) -> None:
    wanted = from_json(template[1], lock.Lock).packages[::-1]
    archive.drop("library")
    assert [deb.name for deb in packages.exactly(wanted)] == ["tool", "library"]
    older = "pool/main/t/tool/tool_0.9.deb"
    lacking = msgspec.structs.replace(wanted[0], version="0.9", path=older)
    with pytest.raises(Gone, match="tool") as caught:
        packages.exactly([*wanted, lacking])
    assert caught.value.entries == [lacking]


def test_each_package_comes_from_the_first_mirror_that_has_it(
    locked: None, archive: Archive, computer: Computer, tmp_path: Path
) -> None:
    half = Archive(tmp_path / "half")
    place = next((archive.root / "pool").rglob("tool_*.deb"))
    there = half.root / place.relative_to(archive.root)
    there.parent.mkdir(parents=True)
    place.rename(there)
    with served(half.root) as (address, _):
        computer.use(archive.root, address)
        assert versions(TOOLS) == LOCKED


def test_mirrors_can_be_in_a_list(
    locked: None, archive: Archive, computer: Computer, tmp_path: Path
) -> None:
    (tmp_path / "list").write_text(f"# ours\nfile:{archive.root}/\tpriority:1\n")
    computer.use(f"mirror+file:{tmp_path}/list")
    assert versions(TOOLS) == LOCKED
    with served(tmp_path) as (address, _):
        computer.use(f"mirror+{address}/list")
        assert versions(OTHER) == {"library": LOCKED["library"]}


# -- when they cannot be had


def removed(archive: Archive, name: str) -> tuple[Path, bytes]:
    """Remove a package from the pool; what was there."""
    place = next((archive.root / "pool").rglob(f"{name}_*.deb"))
    data = place.read_bytes()
    place.unlink()
    return place, data


@pytest.mark.parametrize("by_http", [False, True])
def test_of_a_package_that_has_moved_the_new_version_is_taken_and_said(
    locked: None, archive: Archive, computer: Computer, said: list[str], by_http: bool
) -> None:
    place, data = removed(archive, "library")
    archive.add("library", "3.0")
    before = lock.read().entries(TOOLS)
    with served(archive.root) as (address, asked):
        if by_http:
            computer.use(address)
        assert versions(TOOLS) == {"library": "3.0", "tool": "1.0"}
        assert lists.moved([TOOLS]) == [Change("library", "2:1.0+b1~x", "3.0")]
        assert len(said) == 1 and "library 2:1.0+b1~x is now 3.0" in said[0]
        asked.clear()
        digest = lists.fingerprint(TOOLS)
        assert versions(TOOLS) == {"library": "3.0", "tool": "1.0"}
    assert len(said) == 1 and asked == []
    assert lock.read().entries(TOOLS) == before
    place.write_bytes(data)
    computer.use(archive.root)
    lists.keep_to_lock([TOOLS])
    assert versions(TOOLS) == LOCKED
    assert lists.fingerprint(TOOLS) != digest


def test_an_old_index_that_names_what_has_moved_is_fetched_anew(
    locked: None, archive: Archive
) -> None:
    lists.refresh([OTHER])
    lists.keep_to_lock([OTHER])
    removed(archive, "library")
    archive.add("library", "3.0")
    assert versions(OTHER) == {"library": "3.0"}


def test_dependencies_that_come_and_go_are_changes(
    locked: None, archive: Archive, said: list[str]
) -> None:
    removed(archive, "library")
    removed(archive, "tool")
    archive.drop("library")
    archive.add("library2", "4.0")
    archive.add("tool", "2.0", depends=["library2"])
    assert versions(TOOLS) == {"library2": "4.0", "tool": "2.0"}
    for words in (
        "library 2:1.0+b1~x is not used any more", "library2 4.0 is new", "tool 1.0 is now 2.0"
    ):  # fmt: skip
        assert words in said[0]


def test_a_mirror_that_lacks_what_its_index_names_is_an_error(
    locked: None, archive: Archive, computer: Computer
) -> None:
    removed(archive, "tool")
    with pytest.raises(SetupError, match=r"No such file.*\(tool\)[\s\S]*another mirror"):
        lists.take(TOOLS)
    with served(archive.root) as (address, _):
        computer.use(address)
        with pytest.raises(SetupError, match=r"404.*\(tool\)"):
            lists.take(TOOLS)


@pytest.mark.parametrize("by_http", [False, True])
@pytest.mark.parametrize("longer", [b"", b"more"])
def test_another_file_under_the_name_is_never_used(
    locked: None, archive: Archive, computer: Computer, by_http: bool, longer: bytes
) -> None:
    place = next((archive.root / "pool").rglob("tool_*.deb"))
    data = place.read_bytes()
    place.write_bytes(data[:-1] + bytes([data[-1] ^ 1]) + longer)
    with served(archive.root) as (address, _):
        if by_http:
            computer.use(address)
        with pytest.raises(
            SetupError, match=r"another file.*pool/main/t/tool/tool_1\.0_amd64\.deb[\s\S]*not used"
        ):
            lists.take(TOOLS)
    place.write_bytes(data)
    computer.use(archive.root)
    assert versions(TOOLS) == LOCKED


def test_without_network_it_is_no_other_machine_but_an_error(
    locked: None, computer: Computer, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    computer.use("http://mirror.example/debian")
    with pytest.raises(SetupError) as caught:
        lists.take(TOOLS)
    assert re.search(r"mirror\.example.*connect.*\(library, tool\)", caught.value.message)
    assert "check the network and apt's proxy settings" in caught.value.hint
    assert said == [] and lists.moved([TOOLS]) == []


@pytest.mark.parametrize("status", [403, 407, 502])
def test_what_a_proxy_refuses_is_no_other_machine_but_an_error(
    locked: None,
    computer: Computer,
    tmp_path: Path,
    said: list[str],
    monkeypatch: pytest.MonkeyPatch,
    status: int,
) -> None:
    with served(tmp_path, refusal=status) as (address, _):
        monkeypatch.setenv("http_proxy", address)
        computer.use("http://mirror.example/debian")
        with pytest.raises(SetupError, match=rf"{status}[\s\S]*apt's proxy settings"):
            lists.take(TOOLS)
    assert said == [] and lists.moved([TOOLS]) == []


# -- what Debian has now


def test_a_refresh_takes_what_debian_has_now_and_says_what_that_changes(
    locked: None, archive: Archive, said: list[str]
) -> None:
    assert versions(TOOLS) == LOCKED
    assert lists.refresh([TOOLS]) == []
    archive.add("library", "3.0")
    assert versions(TOOLS) == LOCKED
    change = Change("library", "2:1.0+b1~x", "3.0")
    assert lists.refresh([TOOLS, OTHER]) == [change]
    assert versions(TOOLS) == {"library": "3.0", "tool": "1.0"}
    assert versions(OTHER) == {"library": "3.0"}
    assert lists.moved([TOOLS]) == [change]
    assert said == []  # it was asked for
    assert lists.refresh([TOOLS, OTHER]) == []
    lists.keep_to_lock([TOOLS])
    assert versions(TOOLS) == LOCKED
    assert versions(OTHER) == {"library": "3.0"}


def test_a_refresh_without_network_changes_nothing(
    locked: None, archive: Archive, computer: Computer
) -> None:
    before = lists.take(TOOLS)
    archive.add("library", "3.0")
    computer.use("http://127.0.0.1:1")
    with pytest.raises(SetupError, match="package index"):
        lists.refresh([TOOLS])
    assert lists.take(TOOLS) == before and lists.moved([TOOLS]) == []


def test_a_list_without_a_lock_is_resolved(
    computer: Computer, archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "PATH", tmp_path / "lock.json")
    lock.write(lock.Lock("trixie", "amd64"))
    assert versions(TOOLS) == LOCKED
    archive.add("library", "3.0")
    assert versions(TOOLS) == LOCKED
    assert lists.refresh([TOOLS]) == [Change("library", "2:1.0+b1~x", "3.0")]
    assert versions(TOOLS) == {"library": "3.0", "tool": "1.0"}
    assert lists.moved([TOOLS]) == []


def test_a_lock_is_only_made_of_what_the_index_names(locked: None, archive: Archive) -> None:
    lists.take(TOOLS)
    archive.add("library", "3.0")
    lists.refresh([OTHER])
    with pytest.raises(SetupError, match=r"changed meanwhile[\s\S]*again"):
        lists.pin([TOOLS], "")
    lists.refresh([TOOLS])
    assert [e.version for e in lists.pin([TOOLS], "").packages] == ["3.0", "1.0"]
