"""apt in a private directory of the cache, with an empty package database.

The mirror is one that this computer's own apt uses; its signature is checked against Debian's
archive keyring.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from branchpoint import progress
from branchpoint.cache import cache_dir, disk_errors
from branchpoint.debian.mirrors import SOURCES, Mirror, listed, mirrors, shown
from branchpoint.errors import SetupError

SUITE = "trixie"
"""Debian's release that the guest is made of, whatever the host runs."""
SUITES = ("bookworm", SUITE)
"""Those that images can be made of."""
ARCHITECTURE = "amd64"

HELPER = "/usr/lib/apt/apt-helper"
"""apt's own program for downloads."""
NETWORK = "check the network and apt's proxy settings; once the packages are here, none is needed"
"""What to do when something cannot be downloaded."""

_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_FOLDERS = ("debs", "resolutions", "choices", "state/lists/partial", "cache/archives/partial")
_TRUST = f"signed-by={_KEYRING}"


def home(suite: str = SUITE) -> Path:
    """The private directory for a release, with its folders."""
    path = cache_dir() / "debian" / suite
    with disk_errors(path):
        for part in _FOLDERS:
            (path / part).mkdir(parents=True, exist_ok=True)
    return path


def known_mirrors() -> list[Mirror]:
    """The mirrors of this computer, the surest first; at least one.

    :raises SetupError: when there is none.
    """
    known = [Mirror(uri, each.sure) for each in mirrors() for uri in _downloaded(each.uri)]
    if not known:
        raise SetupError(
            f"no Debian mirror is named in {SOURCES}/sources.list or {SOURCES}/sources.list.d, "
            "as far as you may read them",
            "the guest is made of Debian packages: add a Debian source there",
        )
    return known


def _downloaded(uri: str) -> list[str]:
    """The mirrors that the list at a ``mirror:`` names, else this mirror itself."""
    match = re.fullmatch(r"mirror(?:\+(https?))?:(//.*)", uri)
    if not match:
        return [uri]
    with tempfile.TemporaryDirectory(dir=home()) as folder:
        file = Path(folder, "list")
        run(HELPER, "download-file", f"{match[1] or 'http'}:{match[2]}", str(file))
        return listed(file.read_text(errors="replace")) if file.exists() else []


def update(suite: str = SUITE) -> None:
    """Fetch a release's package index from the first of this computer's mirrors that has it.

    What lists that no lock names resolved to is forgotten then. When it fails, everything stays as
    it was: apt deletes no index of a source that it still has.
    """
    place = home(suite)
    if not _KEYRING.exists():
        raise SetupError(f"{_KEYRING} is missing", "install the package debian-archive-keyring")
    known = known_mirrors()
    tried = place / "tried.list"
    failures = []
    with progress.task("Debian package index"):
        for mirror in known:
            tried.write_text(f"deb [{_TRUST}] {mirror.uri} {suite} main\n")
            result = run(
                "apt-get", "update", "-o", "APT::Update::Error-Mode=any",
                "-o", f"Dir::Etc::sourcelist={tried}", suite=suite,
            )  # fmt: skip
            if result.returncode == 0:
                tried.replace(place / "sources.list")
                (place / "state" / "complete").touch()
                for resolution in (place / "resolutions").iterdir():
                    resolution.unlink()
                return
            failures.append(result)
    surest = failures[0]
    raise SetupError(f"cannot fetch Debian's package index: {complaint(surest)}", hint(surest))


def run(
    *command: str, suite: str = SUITE, tick: Callable[[], None] = lambda: None
) -> subprocess.CompletedProcess[str]:
    """Run an apt program; ``tick`` is called ten times a second meanwhile."""
    process = _start(*command, place=home(suite))
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


def _start(program: str, *arguments: str, place: Path) -> subprocess.Popen[str]:
    """Start an apt program on a private directory; the host's proxy settings hold."""
    status = place / "state" / "status"
    status.touch()
    config = place / "apt.conf"
    config.write_text(
        # The host's options are for the host, but for those of downloads.
        "#clear APT::Get;\n"
        "#clear APT::Default-Release;\n"
        'RootDir "";\n'
        f'Dir::State "{place}/state";\n'
        'Dir::State::lists "lists/";\n'
        'Dir::State::extended_states "extended_states";\n'
        f'Dir::State::status "{status}";\n'
        f'Dir::Cache "{place}/cache";\n'
        'Dir::Cache::archives "archives/";\n'
        f'Dir::Etc::sourcelist "{place}/sources.list";\n'
        'Dir::Etc::sourceparts "/dev/null";\n'
        'Dir::Etc::preferences "/dev/null";\n'
        'Dir::Etc::preferencesparts "/dev/null";\n'
        f'#clear APT::Architectures;\nAPT::Architectures {{ "{ARCHITECTURE}"; }};\n'
        f'APT::Architecture "{ARCHITECTURE}";\n'
        'APT::Install-Recommends "false";\n'
        'APT::Install-Suggests "false";\n'
        'APT::Sandbox::User "";\n'
        'Acquire::Languages "none";\n'
        'Acquire::Retries "2";\n'
        'Acquire::AllowInsecureRepositories "false";\n'
        'Acquire::AllowWeakRepositories "false";\n'
        'Acquire::AllowDowngradeToInsecureRepositories "false";\n'
        # The host's hooks are for the host's packages.
        "#clear APT::Update::Pre-Invoke;\n"
        "#clear APT::Update::Post-Invoke;\n"
        "#clear APT::Update::Post-Invoke-Success;\n"
    )
    try:
        return subprocess.Popen(
            [program, "-c", config, "-q", *arguments],
            cwd=place,
            env=os.environ | {"LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
    except FileNotFoundError as error:
        raise SetupError(
            f"{program} is not installed", "the guest is made with apt on Debian"
        ) from error


def complaint(result: subprocess.CompletedProcess[str]) -> str:
    """apt's own errors (else warnings) in one line."""
    lines = shown(result.stderr).splitlines()
    errors = [line[3:] for line in lines if line.startswith("E: ")]
    warnings = [line[3:] for line in lines if line.startswith("W: ")]
    return "; ".join(errors or warnings) or f"apt ended with code {result.returncode}"


def hint(result: subprocess.CompletedProcess[str]) -> str:
    if "No space left" in result.stderr:
        return "free some space, or set BRANCHPOINT_CACHE to a directory elsewhere"
    return NETWORK
