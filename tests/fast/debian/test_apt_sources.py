"""Which mirrors apt's sources name, and that nothing else of apt's configuration counts."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from archives import Archive, Computer, served

from branchpoint.debian import apt, index, mirrors, packages
from branchpoint.debian.entry import Entry
from branchpoint.debian.fetching import Gone
from branchpoint.decoding import from_json
from branchpoint.errors import ImageError, SetupError

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of apt's configuration."""
    monkeypatch.setattr(mirrors, "SOURCES", tmp_path)
    (tmp_path / "sources.list.d").mkdir()
    return tmp_path


def uris() -> list[str]:
    return [mirror.uri for mirror in mirrors.mirrors()]


DEB822 = """\
# a comment
Types: deb deb-src
URIs: http://mirror.example/debian/
  http://second.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://disabled.example/debian
Suites: trixie
Components: main
Enabled: no
"""
ONE_LINE = """\
deb [arch=amd64 signed-by=/usr/share/keyrings/vendor.gpg] https://vendor.example/apt bookworm main
# deb http://commented.example/debian trixie main
deb http://unknown.example/debian/ trixie main contrib # why
deb http://security.example/debian-security trixie-security main
deb-src http://source.example/debian trixie main
"""


def test_mirrors_come_from_both_forms_of_apt_sources(sources: Path) -> None:
    assert mirrors.mirrors() == []
    (sources / "sources.list").write_text(ONE_LINE)
    (sources / "sources.list.d" / "debian.sources").write_text(DEB822)
    (sources / "sources.list.d" / "ignored.save").write_text(ONE_LINE)
    assert mirrors.mirrors() == [
        ("http://mirror.example/debian", True),
        ("http://second.example/debian", True),
        ("http://unknown.example/debian", False),
        ("https://vendor.example/apt", False),
    ]


EMBEDDED = """
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mDMEY865UxYJKwYBBAHaRw8BAQdAd7Z0srwuhlB6JKFkcf4HU4SSS
 -----END PGP PUBLIC KEY BLOCK-----"""


@pytest.mark.parametrize(
    "signer", [EMBEDDED, " B8B80B5B623EAB6AD8775C45B7C5D7D6350947F8", " /etc/apt/keyrings/own.asc"]
)
def test_a_mirror_with_a_key_of_its_own_comes_last(sources: Path, signer: str) -> None:
    stanza = "Types: deb\nURIs: http://own.example/debian\nSuites: trixie\nComponents: main\n"
    (sources / "sources.list.d" / "a.sources").write_text(f"{stanza}Signed-By:{signer}\n")
    assert mirrors.mirrors() == [("http://own.example/debian", True)], "there is no surer one"
    (sources / "sources.list").write_text("deb http://unknown.example/debian trixie main\n")
    assert mirrors.mirrors() == [
        ("http://unknown.example/debian", True),
        ("http://own.example/debian", False),
    ]


@pytest.mark.parametrize("word", ["no", "No", "false", "0", "off", "without", "disable"])
def test_disabled_sources_are_left_out(sources: Path, word: str) -> None:
    stanza = "Types: deb\nURIs: http://own.example/debian\nSuites: trixie\nComponents: main\n"
    file = sources / "sources.list.d" / "a.sources"
    file.write_text(f"{stanza}Enabled: {word}\n")
    assert uris() == []
    file.write_text(f"{stanza}Enabled: yes\n")
    assert uris() == ["http://own.example/debian"]


def test_what_cannot_be_read_of_the_sources_is_skipped(
    sources: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Path.read_text

    def refused(path: Path, *arguments: str | None, **options: str | None) -> str:
        if path.name in ("secret.list", "mirrors"):
            raise PermissionError(13, os.strerror(13), str(path))
        return read(path, *arguments, **options)

    monkeypatch.setattr(Path, "read_text", refused)
    (sources / "mirrors").write_text("http://listed.example/debian\n")
    (sources / "sources.list.d" / "secret.list").write_text(ONE_LINE)
    (sources / "sources.list").write_text(
        'deb [signed-by="x] http://quote.example/debian trixie main\n'
        f"deb mirror+file:{sources}/mirrors trixie main\n"
        "deb http://good.example/debian trixie main\n"
    )
    assert uris() == ["http://good.example/debian"]


def test_uris_are_shown_without_passwords() -> None:
    said = "cannot fetch http://me:p%40ss@a.example/debian and https://b.example/x@y"
    assert mirrors.shown(said) == ("cannot fetch http://a.example/debian and https://b.example/x@y")


# -- apt itself


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    made = Archive(tmp_path / "archive")
    made.add("tool")
    return made


@pytest.fixture
def computer(tmp_path: Path, archive: Archive, monkeypatch: pytest.MonkeyPatch) -> Computer:
    made = Computer(tmp_path / "computer", monkeypatch)
    made.use(archive.root)
    return made


def needed(name: str) -> list[str]:
    return [entry.name for entry in index.needs([name])]


HOST = """
APT::Default-Release "bookworm";
APT::Install-Suggests "true";
APT::Get::Simulate "true";
APT::Get::Download "false";
APT::Get::Download-Only "true";
Dir::State::lists "%(away)s/lists/";
Dir::Cache::archives "%(away)s/archives/";
"""


def test_options_of_the_host_change_nothing(
    tmp_path: Path, archive: Archive, computer: Computer, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = tmp_path / "away"
    for name in ("lists/partial", "archives/partial"):
        (away / name).mkdir(parents=True)
    (tmp_path / "host.conf").write_text(HOST % {"away": away})
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "host.conf"))
    archive.add("extra")
    archive.add("more")
    made = archive.add("tool", "2.0", depends=["extra\nSuggests: more"])
    shutil.copy(made, away / "archives")  # apt names no file that it has
    assert needed("tool") == ["extra", "tool"]
    assert [path.name for path in away.rglob("*") if path.is_file()] == [made.name]


def test_the_host_cannot_allow_what_nobody_signed(
    tmp_path: Path, computer: Computer, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "host.conf").write_text('Acquire::AllowInsecureRepositories "true";')
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "host.conf"))
    monkeypatch.setattr(apt, "_TRUST", f"signed-by={KEYRING}")
    with pytest.raises(SetupError, match="not signed"):
        needed("tool")


def test_an_apt_that_names_no_files_is_an_error(
    computer: Computer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "_URI_LINE", index._UNKNOWN)
    with pytest.raises(ImageError, match="names no files of Debian trixie for tool"):
        needed("tool")


def test_a_fetch_that_fails_leaves_the_index_that_was_there(
    archive: Archive, computer: Computer
) -> None:
    assert needed("tool") == ["tool"]
    computer.use("http://127.0.0.1:1", "http://me:secret@127.0.0.1:1/second")
    with pytest.raises(SetupError, match="cannot fetch Debian's package index") as caught:
        apt.update()
    assert "secret" not in str(caught.value)
    assert needed("tool") == ["tool"]


def moved() -> list[Entry]:
    """A package that the archive has not got."""
    said = {
        "name": "tool",
        "version": "0.9",
        "path": "pool/main/t/tool/tool_0.9_amd64.deb",
        "size": 5,
        "sha256": "0" * 64,
    }
    return [from_json(json.dumps(said).encode(), Entry)]


def test_a_source_that_wants_a_password_does_not_hide_that_debian_has_moved_on(
    tmp_path: Path, archive: Archive, computer: Computer
) -> None:
    with served(tmp_path, refusal=401) as (address, asked):
        private = address.replace("//", "//me:secret@")
        (mirrors.SOURCES / "sources.list").write_text(
            f"deb {private} trixie main\n"
            f"deb [signed-by={KEYRING}] file:{archive.root} trixie main\n"
        )
        with pytest.raises(Gone, match="No such file"):
            packages.exactly(moved())
        computer.use(private)
        with pytest.raises(SetupError, match="401") as caught:
            packages.exactly(moved())
        assert not isinstance(caught.value, Gone) and "secret" not in str(caught.value)
    assert len(asked) >= 2
