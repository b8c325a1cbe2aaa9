"""What a list of packages needs, as apt resolves it with the package index in the cache."""

from __future__ import annotations

import re
import urllib.parse

import msgspec

from branchpoint.debian import apt
from branchpoint.debian.entry import Entry
from branchpoint.debian.mirrors import shown
from branchpoint.decoding import Malformed, from_json
from branchpoint.errors import ImageError

_URI_LINE = re.compile(
    r"'(?P<uri>\S+)' (?P<file>\S+) (?P<size>\d{1,15}) SHA256:(?P<sha256>[0-9a-f]{64})"
)
_UNKNOWN = re.compile(
    r"^E: (?:Unable to locate package |Package '(?=.*' has no installation candidate$))([^\s']+)",
    re.MULTILINE,
)
_NAME = re.compile(r"[a-z0-9][a-z0-9.+-]*[a-z0-9.+]")


def needs(packages: list[str], suite: str = apt.SUITE) -> list[Entry]:
    """The packages that are needed for these: with dependencies, without recommendations, sorted.

    The index is only fetched when there is none; the caller holds the lock ``debian``.

    :raises ImageError: for a package that does not exist.
    :raises SetupError: without apt, or without network when the index is needed.
    """
    for name in packages:
        # Lists of packages can come from strangers; apt would also take options, paths, patterns.
        if not _NAME.fullmatch(name):
            raise ImageError(f"{name!r} is not the name of a Debian package")
    if not (apt.home(suite) / "state" / "complete").exists():
        apt.update(suite)
    result = apt.run(
        "apt-get", "install", "--yes", "--print-uris",
        "-o", "Acquire::ForceHash=SHA256", "--", *packages, suite=suite,
    )  # fmt: skip
    if result.returncode:
        unknown = list(dict.fromkeys(_UNKNOWN.findall(result.stderr)))
        if unknown:
            what = f"Debian {suite} has no package {', '.join(unknown)}"
        else:
            what = f"Debian {suite} cannot give {', '.join(packages)}: {apt.complaint(result)}"
        raise ImageError(what, "check the package names")
    entries = sorted(_entry(match) for match in _URI_LINE.finditer(result.stdout))
    if packages and not entries:
        raise ImageError(
            f"apt names no files of Debian {suite} for {', '.join(packages)}",
            "does an option in apt's configuration forbid it to install anything?",
        )
    return entries


def _entry(match: re.Match[str]) -> Entry:
    uri = urllib.parse.unquote(match["uri"])
    name, version, _ = urllib.parse.unquote(match["file"]).split("_")
    said = {
        "name": name,
        "version": version,
        "path": uri[uri.find("/pool/") + 1 :],
        "size": int(match["size"]),
        "sha256": match["sha256"],
    }
    try:
        entry: Entry = from_json(msgspec.json.encode(said), Entry)
    except Malformed as error:
        raise ImageError(
            f"the package index names {shown(uri)} in a way that is not Debian's: {error}",
            "is the mirror one of Debian's? name another one in apt's sources",
        ) from None
    return entry
