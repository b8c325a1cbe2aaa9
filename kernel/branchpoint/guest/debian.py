"""Debian packages without root and without the host's package database.

The guest is always Debian's release :data:`SUITE`, whatever the host runs. apt resolves in a
private directory below the cache with an empty package database; the mirror is the one this
computer's own apt uses, its signature is checked against Debian's archive keyring. What a list of
packages resolved to is kept, so that later builds give the same image without network;
:func:`refresh` ends that. Packages are unpacked in Python and no maintainer script ever runs
(:mod:`branchpoint.guest.rootfs` makes the few files that those would have made).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shlex
import subprocess
import urllib.parse
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypedDict

from msgspec import Meta

from branchpoint import progress
from branchpoint.cache import cache_dir, disk_errors
from branchpoint.decoding import Malformed, from_json
from branchpoint.errors import ImageError, SetupError
from branchpoint.guest.files import locked, publish
from branchpoint.guest.tree import EPOCH, Tree

SUITE = "trixie"
ARCHITECTURE = "amd64"

_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_SOURCES = Path("/etc/apt")
_RELEASE = re.compile(
    r"(bullseye|bookworm|trixie|forky|duke|sid|oldoldstable|oldstable|stable|testing|unstable)"
    r"(-updates|-backports|-backports-sloppy|-proposed-updates)?/?"
)
_URI_LINE = re.compile(
    r"'(?P<uri>\S+)' (?P<file>\S+) (?P<size>\d+) SHA256:(?P<sha256>[0-9a-f]{64})"
)
_NAME = re.compile(r"[a-z0-9][a-z0-9.+-]*[a-z0-9.+]")
_MERGED = ("bin", "sbin", "lib", "lib64")  # links into usr/ in every present Debian


@dataclass(frozen=True)
class Deb:
    """One downloaded package file; ``sha256`` (hex) is the one the signed index names."""

    name: str
    version: str
    sha256: str
    path: Path


class _Entry(TypedDict):
    """What is kept of one package that is needed."""

    name: str
    version: str
    file: str
    """Its name."""
    sha256: str
    size: Annotated[str, Meta(pattern=r"^[0-9]{1,15}\Z")]
    """Bytes."""


def resolve(packages: Iterable[str], keep: Callable[[str], bool] = lambda name: True) -> list[Deb]:
    """Resolve ``packages`` with their dependencies (no recommendations) and download them.

    ``keep`` says by name which of the resolved packages are wanted; others are not downloaded.
    The result is sorted by name. Raises :class:`SetupError` without apt or network,
    :class:`ImageError` for a package that does not exist.
    """
    wanted = sorted(set(packages))
    with locked("debian"):
        for attempt in (1, 2):
            resolution = _resolution(wanted)
            try:
                return _download([entry for entry in resolution if keep(entry["name"])])
            except _Superseded:
                if attempt == 2:
                    raise
                _update()
    raise AssertionError("unreachable")


def fingerprint(packages: Iterable[str]) -> str:
    """A digest (hex) of what ``packages`` resolve to; downloads no package."""
    with locked("debian"):
        return hashlib.sha256(json.dumps(_resolution(sorted(set(packages)))).encode()).hexdigest()


def unpack(debs: Iterable[Deb]) -> Tree:
    """Merge the files of ``debs`` into one tree; ``/bin``, ``/lib`` ... are links into ``/usr``."""
    tree = Tree()
    for name in _MERGED:
        tree.add_dir(f"usr/{name}")
        tree.add_symlink(name, f"usr/{name}")
    for deb in debs:
        with _plain(deb) as process:
            assert process.stdout is not None
            tree.apply_tar(process.stdout, latest=EPOCH)
            while process.stdout.read(1 << 16):
                pass
        if process.returncode:
            raise ImageError(
                f"cannot unpack {deb.path}", f"delete it; it is downloaded again ({deb.name})"
            )
    return tree


def _plain(deb: Deb) -> subprocess.Popen[bytes]:
    """A program that writes the package's files as a tar stream."""
    try:
        return subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb.path], stdout=subprocess.PIPE)
    except FileNotFoundError:
        raise SetupError(
            "dpkg-deb is not installed", "the guest is made of Debian packages: install dpkg"
        ) from None


def refresh() -> None:
    """Fetch the package index anew: the next build takes the packages that Debian has now."""
    with locked("debian"):
        _update()


class _Superseded(SetupError):
    """The mirror does not have a package any more that the kept index names."""


def _home() -> Path:
    path = cache_dir() / "debian" / SUITE
    with disk_errors(path):
        for part in ("debs", "resolved", "state/lists/partial", "cache/archives/partial"):
            (path / part).mkdir(parents=True, exist_ok=True)
    return path


def _resolution(packages: list[str]) -> list[_Entry]:
    """What ``packages`` need."""
    for name in packages:
        # Lists of packages can come from strangers; apt would also take options, paths, patterns.
        if not _NAME.fullmatch(name):
            raise ImageError(f"{name!r} is not the name of a Debian package")
    home = _home()
    key = hashlib.sha256("\n".join(packages).encode()).hexdigest()[:32]
    kept = home / "resolved" / f"{key}.json"
    with contextlib.suppress(OSError, Malformed):  # what is lost or damaged is asked for again
        return from_json(kept.read_bytes(), list[_Entry])
    if not (home / "state" / "complete").exists():
        _update()
    result = _apt(
        "apt-get", "install", "--yes", "--print-uris",
        "-o", "Acquire::ForceHash=SHA256", "--", *packages,
    )  # fmt: skip
    if result.returncode:
        raise ImageError(
            f"Debian {SUITE} cannot give {', '.join(packages)}: {_complaint(result)}",
            "check the package names",
        )
    entries: list[_Entry] = []
    for match in _URI_LINE.finditer(result.stdout):
        file = match["file"]
        name, version, _ = urllib.parse.unquote(file).removesuffix(".deb").split("_")
        entries.append(
            {"name": name, "version": version, "file": file, "sha256": match["sha256"],
             "size": match["size"]}
        )  # fmt: skip
    entries.sort(key=lambda entry: entry["name"])
    with publish(kept) as path:
        path.write_text(json.dumps(entries, indent=1))
    return entries


def _update() -> None:
    """Fetch the package index from the first of this computer's mirrors that has it.

    All resolutions are forgotten then; without network everything stays as it was.
    """
    home = _home()
    if not _KEYRING.exists():
        raise SetupError(f"{_KEYRING} is missing", "install the package debian-archive-keyring")
    mirrors = _mirrors()
    if not mirrors:
        raise SetupError(
            f"no Debian mirror is named in {_SOURCES}/sources.list or {_SOURCES}/sources.list.d",
            "the guest is made of Debian packages: add a Debian source there",
        )
    with progress.task("Debian package index"):
        for mirror in mirrors:
            (home / "sources.list").write_text(
                f"deb [signed-by={_KEYRING}] {mirror} {SUITE} main\n"
            )
            result = _apt("apt-get", "update", "-o", "APT::Update::Error-Mode=any")
            if result.returncode == 0:
                (home / "state" / "complete").touch()
                for resolution in (home / "resolved").iterdir():
                    resolution.unlink()
                return
    raise SetupError(f"cannot fetch Debian's package index: {_complaint(result)}", _hint(result))


def _download(entries: list[_Entry]) -> list[Deb]:
    home = _home()
    debs = [
        Deb(entry["name"], entry["version"], entry["sha256"], home / "debs" / entry["file"])
        for entry in entries
    ]
    missing = [
        (deb, int(entry["size"]))
        for deb, entry in zip(debs, entries, strict=True)
        if not deb.path.exists()
    ]
    if not missing:
        return debs
    folder = home / "cache" / "archives"
    total = sum(size for _, size in missing)
    if not (home / "state" / "complete").exists():
        _update()
    with progress.task("Debian packages", total / 1e6, "MB") as task, disk_errors(folder):
        result = _apt(
            *("apt-get", "download", *(f"{deb.name}={deb.version}" for deb, _ in missing)),
            cwd=folder,
            tick=lambda: task.update(sum(_size(file) for file in folder.rglob("*")) / 1e6),
        )
        for deb, _ in missing:
            file = folder / deb.path.name
            if result.returncode or not file.exists():
                break
            if hashlib.sha256(file.read_bytes()).hexdigest() != deb.sha256:
                file.unlink()
                raise _Superseded(f"{file.name} is not the file that the package index names")
            file.replace(deb.path)
        else:
            return debs
    raise _Superseded(f"cannot download Debian packages: {_complaint(result)}", _hint(result))


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:  # apt renames what it has finished
        return 0


def _apt(
    *command: str, cwd: Path | None = None, tick: Callable[[], None] = lambda: None
) -> subprocess.CompletedProcess[str]:
    """Run an apt program; ``tick`` is called ten times a second meanwhile."""
    process = _start(*command, cwd=cwd or _home())
    try:
        while True:
            try:
                output, errors = process.communicate(timeout=0.1)
                return subprocess.CompletedProcess(command, process.returncode, output, errors)
            except subprocess.TimeoutExpired:
                tick()
    except BaseException:
        process.kill()
        process.wait()
        raise


def _start(program: str, *arguments: str, cwd: Path) -> subprocess.Popen[str]:
    """Start an apt program on the private directory; the host's proxy settings hold."""
    home = _home()
    status = home / "state" / "status"
    status.touch()
    config = home / "apt.conf"
    config.write_text(
        f'Dir::State "{home}/state";\n'
        f'Dir::State::status "{status}";\n'
        f'Dir::Cache "{home}/cache";\n'
        f'Dir::Etc::sourcelist "{home}/sources.list";\n'
        'Dir::Etc::sourceparts "/dev/null";\n'
        'Dir::Etc::preferences "/dev/null";\n'
        'Dir::Etc::preferencesparts "/dev/null";\n'
        f'#clear APT::Architectures;\nAPT::Architectures {{ "{ARCHITECTURE}"; }};\n'
        f'APT::Architecture "{ARCHITECTURE}";\n'
        'APT::Install-Recommends "false";\n'
        'APT::Sandbox::User "";\n'
        'Acquire::Languages "none";\n'
        'Acquire::Retries "2";\n'
        # The host's hooks are for the host's packages.
        "#clear APT::Update::Pre-Invoke;\n"
        "#clear APT::Update::Post-Invoke;\n"
        "#clear APT::Update::Post-Invoke-Success;\n"
    )
    try:
        return subprocess.Popen(
            [program, "-c", config, "-q", *arguments],
            cwd=cwd,
            env=os.environ | {"LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    except FileNotFoundError as error:
        raise SetupError(
            f"{program} is not installed", "the guest is made with apt on Debian"
        ) from error


def _complaint(result: subprocess.CompletedProcess[str]) -> str:
    """apt's own errors (else warnings) in one line."""
    lines = result.stderr.splitlines()
    errors = [line[3:] for line in lines if line.startswith("E: ")]
    warnings = [line[3:] for line in lines if line.startswith("W: ")]
    return "; ".join(errors or warnings) or f"apt ended with code {result.returncode}"


def _hint(result: subprocess.CompletedProcess[str]) -> str:
    if "No space left" in result.stderr:
        return "free some space, or set BRANCHPOINT_CACHE to a directory elsewhere"
    return "check the network and apt's proxy settings; once the packages are here, none is needed"


def _mirrors() -> list[str]:
    """URIs of Debian mirrors in this computer's apt configuration, the surest first.

    An entry is Debian's when it has a release of Debian with the component main. Other vendors
    use the same names, so entries signed by Debian's keyring go before those of unknown signer;
    a wrong one is found out by its signature.
    """
    sure: list[str] = []
    unknown: list[str] = []
    parts = _SOURCES / "sources.list.d"
    for file in [_SOURCES / "sources.list", *sorted(parts.glob("*"))]:
        if file.suffix not in (".list", ".sources") or not file.is_file():
            continue
        read = _deb822 if file.suffix == ".sources" else _one_line
        for uris, suites, components, signer in read(file.read_text(errors="replace")):
            if "main" in components and any(_RELEASE.fullmatch(suite) for suite in suites):
                known = "debian-archive" in signer
                if known or not signer:
                    (sure if known else unknown).extend(
                        uri.rstrip("/") for uri in uris if not uri.startswith("cdrom:")
                    )
    return list(dict.fromkeys(sure + unknown))


_Source = tuple[list[str], list[str], list[str], str]  # URIs, suites, components, signed-by


def _one_line(text: str) -> list[_Source]:
    """Entries like ``deb [signed-by=FILE] URI SUITE COMPONENT...``."""
    sources = []
    for line in text.splitlines():
        match = re.match(r"\s*deb\s+(?:\[([^\]]*)\]\s*)?(\S+)\s+(\S+)\s+([^#]*)", line)
        if match:
            options = dict(
                word.split("=", 1) for word in shlex.split(match[1] or "") if "=" in word
            )
            signer = options.get("signed-by", "")
            sources.append(([match[2]], [match[3]], match[4].split(), signer))
    return sources


def _deb822(text: str) -> list[_Source]:
    """Stanzas of ``Field: values`` lines, continued by lines that begin with a blank."""
    sources = []
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    for stanza in re.split(r"\n\s*\n", "\n".join(lines)):
        pairs = re.findall(r"^([\w-]+):((?:.*)(?:\n[ \t].*)*)", stanza, re.MULTILINE)
        fields = {name.lower(): value.split() for name, value in pairs}
        if "deb" in fields.get("types", []) and fields.get("enabled") != ["no"]:
            signer = " ".join(fields.get("signed-by", []))
            sources.append(
                (
                    fields.get("uris", []),
                    fields.get("suites", []),
                    fields.get("components", []),
                    signer,
                )
            )
    return sources
