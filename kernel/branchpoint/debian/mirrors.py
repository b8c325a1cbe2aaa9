"""Which Debian mirrors this computer's own apt uses."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

SOURCES = Path("/etc/apt")
"""Where apt's configuration lies."""

_RELEASE = re.compile(
    r"(bullseye|bookworm|trixie|forky|duke|sid|oldoldstable|oldstable|stable|testing|unstable)"
    r"(-updates|-backports|-backports-sloppy|-proposed-updates)?/?"
)


def mirrors() -> list[str]:
    """URIs of Debian mirrors in this computer's apt configuration, the surest first.

    An entry is Debian's when it has a release of Debian with the component main. Other vendors
    use the same names, so entries signed by Debian's keyring go before those of unknown signer;
    a wrong one is found out by its signature. A file that lists mirrors is replaced by these.
    """
    sure: list[str] = []
    unknown: list[str] = []
    parts = SOURCES / "sources.list.d"
    for file in [SOURCES / "sources.list", *sorted(parts.glob("*"))]:
        if file.suffix not in (".list", ".sources") or not file.is_file():
            continue
        read = _deb822 if file.suffix == ".sources" else _one_line
        for uris, suites, components, signer in read(file.read_text(errors="replace")):
            if "main" in components and any(_RELEASE.fullmatch(suite) for suite in suites):
                known = "debian-archive" in signer
                if known or not signer:
                    (sure if known else unknown).extend(
                        each.rstrip("/") for uri in uris for each in _expanded(uri)
                    )
    return list(dict.fromkeys(sure + unknown))


def _expanded(uri: str) -> list[str]:
    """The mirrors behind an entry's URI; of a CD, none."""
    if uri.startswith("cdrom:"):
        return []
    if not uri.startswith("mirror+file:"):
        return [uri]
    file = Path(re.sub("^mirror[+]file:(//)?(?=/)", "", uri))
    return listed(file.read_text(errors="replace")) if file.is_file() else []


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
