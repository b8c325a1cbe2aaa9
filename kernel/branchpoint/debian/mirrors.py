"""Which Debian mirrors this computer's own apt uses."""

from __future__ import annotations

import re
import shlex
from itertools import chain
from pathlib import Path
from typing import NamedTuple

SOURCES = Path("/etc/apt")
"""Where apt's configuration lies."""

_RELEASE = re.compile(
    r"(bullseye|bookworm|trixie|forky|duke|sid|oldoldstable|oldstable|stable|testing|unstable)"
    r"(-updates|-backports|-backports-sloppy|-proposed-updates)?/?"
)


_OFF = ("no", "false", "without", "off", "disable", "0")  # as apt reads them


class Mirror(NamedTuple):
    """A mirror that this computer's apt uses."""

    uri: str
    sure: bool
    """Whether it is one of those that are Debian's most surely; some are."""


def mirrors() -> list[Mirror]:
    """The Debian mirrors in this computer's apt configuration, the surest first.

    An entry is Debian's when it has a release of Debian with the component main. Other vendors
    use the same names. So entries signed by Debian's keyring go first, then those of unknown
    signer, and last those that name a key or another keyring, where Debian's key may be, too; a
    wrong one is found out by its signature. A file that lists mirrors is replaced by these. What
    cannot be read is skipped.
    """
    groups: tuple[list[str], list[str], list[str]] = [], [], []
    parts = SOURCES / "sources.list.d"
    for file in [SOURCES / "sources.list", *sorted(parts.glob("*"))]:
        if file.suffix not in (".list", ".sources"):
            continue
        read = _deb822 if file.suffix == ".sources" else _one_line
        for uris, suites, components, signer in read(_text(file)):
            if "main" in components and any(_RELEASE.fullmatch(suite) for suite in suites):
                rank = 0 if "debian-archive" in signer else 2 if signer else 1
                groups[rank].extend(each.rstrip("/") for uri in uris for each in _expanded(uri))
    surest = next((group for group in groups if group), [])
    return [Mirror(uri, uri in surest) for uri in dict.fromkeys(chain(*groups))]


def shown(text: str) -> str:
    """A text with URIs, without the names and passwords in them."""
    return re.sub(r"(?<=://)[^/\s@]*@", "", text)


def _text(file: Path) -> str:
    """The content of a file; nothing when it is none, or may not be read."""
    try:
        return file.read_text(errors="replace") if file.is_file() else ""
    except OSError:
        return ""


def _expanded(uri: str) -> list[str]:
    """The mirrors behind an entry's URI; of a CD, none."""
    if uri.startswith("cdrom:"):
        return []
    if not uri.startswith("mirror+file:"):
        return [uri]
    return listed(_text(Path(re.sub("^mirror[+]file:(//)?(?=/)", "", uri))))


def listed(text: str) -> list[str]:
    """The mirrors in a list of mirrors: the first word of each line."""
    lines = (line.split() for line in text.splitlines())
    return [words[0].rstrip("/") for words in lines if words and not words[0].startswith("#")]


_Source = tuple[list[str], list[str], list[str], str]  # URIs, suites, components, signed-by


def _one_line(text: str) -> list[_Source]:
    """Entries like ``deb [signed-by=FILE] URI SUITE COMPONENT...``."""
    sources = []
    for line in text.splitlines():
        match = re.match(r"\s*deb\s+(?:\[([^\]]*)\]\s*)?(\S+)\s+(\S+)\s+([^#]*)", line)
        if match:
            try:
                words = shlex.split(match[1] or "")
            except ValueError:  # a quote that does not end; apt refuses the line, too
                continue
            options = dict(word.split("=", 1) for word in words if "=" in word)
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
        enabled = " ".join(fields.get("enabled", [])).lower() not in _OFF
        if "deb" in fields.get("types", []) and enabled:
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
