"""Package files by their path and hash, from this computer's own mirrors.

No index is needed for this: a mirror still has files for a while that its index does not list any
more. apt's own program downloads, so its proxy settings hold.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import tempfile
import urllib.parse
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from branchpoint import progress
from branchpoint.cache import disk_errors
from branchpoint.debian import apt
from branchpoint.debian.entry import Deb, Entry
from branchpoint.debian.mirrors import SOURCES, Mirror, shown
from branchpoint.errors import SetupError

_FAILED = re.compile(r"^E: Failed to fetch (\S+)\s+(.*)$", re.MULTILINE)
_NOT_THERE = re.compile(r"^(403|404|410)\b|No such file")  # some storages forbid what they lack
_ANOTHER = re.compile(r"^(Hash Sum mismatch|File has unexpected size)")
_NAMED = 3  # packages in a message


class Gone(SetupError):
    """No mirror has some of the packages any more; ``entries`` are these."""

    def __init__(self, entries: list[Entry], reason: str) -> None:
        super().__init__(
            f"cannot download Debian packages: {reason} ({names(entries)})",
            f"name another mirror in {SOURCES}, or try again later",
        )
        self.entries = entries


def names(entries: list[Entry]) -> str:
    """The names of the first of them, for a message."""
    more = f" and {len(entries) - _NAMED} more" if len(entries) > _NAMED else ""
    return ", ".join(entry.name for entry in entries[:_NAMED]) + more


def fetch(entries: Iterable[Entry], check: bool = False) -> list[Deb]:
    """The files of these packages, from the cache or downloaded; the caller holds the lock
    ``debian``.

    What has another size in the cache is downloaded again; with ``check``, all damaged files are.

    :raises Gone: when no mirror has some of them.
    :raises SetupError: when they cannot be downloaded for another reason.
    """
    folder = apt.home() / "debs"
    wanted = list(entries)
    missing = [entry for entry in wanted if not _is_there(folder / entry.file, entry, check)]
    if missing:
        _download(missing, folder)
    return [Deb(e.name, e.version, e.sha256, folder / e.file) for e in wanted]


def _is_there(path: Path, entry: Entry, check: bool) -> bool:
    try:
        right = path.stat().st_size == entry.size
    except FileNotFoundError:
        return False
    return right and not (check and _hash(path) != entry.sha256)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _download(missing: list[Entry], folder: Path) -> None:
    """Download them, each from the first mirror that has it."""
    said: list[tuple[Mirror, dict[Entry, str]]] = []
    total = sum(entry.size for entry in missing)
    apart = apt.home() / "cache" / "archives"
    with (
        progress.task("Debian packages", total / 1e6, "MB") as task,
        disk_errors(apart),
        tempfile.TemporaryDirectory(dir=apart) as name,
    ):
        unfinished, done = Path(name), 0
        for mirror in apt.known_mirrors():
            reasons = _ask(mirror.uri, missing, unfinished, partial(_tell, task, done, unfinished))
            missing = [e for e in missing if not _accept(unfinished / e.file, e, folder, reasons)]
            done = total - sum(entry.size for entry in missing)
            said.append((mirror, reasons))
            if not missing:
                return
    _complain(missing, said)


def _tell(task: progress.Task, done: int, folder: Path) -> None:
    """Say how far a download is that goes on in ``folder``, after ``done`` bytes."""
    for file in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):  # apt renames what it has finished
            done += file.stat().st_size
    task.update(done / 1e6)


def _ask(
    mirror: str, entries: list[Entry], folder: Path, tick: Callable[[], None]
) -> dict[Entry, str]:
    """Let apt download from this mirror into ``folder``; for what failed, what it says of it."""
    # Of a "file:" apt would only make a link to it.
    base = re.sub(r"^file:(//)?", "copy:", mirror)
    arguments: list[str] = []
    for entry in entries:
        arguments += [f"{base}/{urllib.parse.quote(entry.path)}", str(folder / entry.file)]
        arguments += [f"Checksum-FileSize:{entry.size}", f"SHA256:{entry.sha256}"]
    result = apt.run(apt.HELPER, "download-file", *arguments, tick=tick)
    if "No space left" in result.stderr:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
    failed = {urllib.parse.unquote(uri): shown(why) for uri, why in _FAILED.findall(result.stderr)}
    other = apt.complaint(result)
    return {
        entry: next((why for uri, why in failed.items() if uri.endswith(entry.path)), other)
        for entry in entries
        if not (folder / entry.file).exists()
    }


def _accept(file: Path, entry: Entry, folder: Path, reasons: dict[Entry, str]) -> bool:
    """Put a downloaded file into the cache, if it is there and the right one."""
    if entry in reasons:
        return False
    if _hash(file) != entry.sha256:
        reasons[entry] = "Hash Sum mismatch"
        file.unlink()
        return False
    with file.open("rb") as opened:
        os.fsync(opened.fileno())
    file.replace(folder / entry.file)
    return True


def _complain(missing: list[Entry], said: list[tuple[Mirror, dict[Entry, str]]]) -> None:
    """Raise what the mirrors said of the missing packages.

    The sure ones decide: who else is asked may be no mirror of Debian, and want a password.
    """
    for entry in missing:
        told = [(mirror, reasons[entry]) for mirror, reasons in said]
        sure = [why for mirror, why in told if mirror.sure]
        if any(map(_NOT_THERE.search, sure)) and not any(map(_ANOTHER.search, sure)):
            continue
        for mirror, why in told:
            if _ANOTHER.search(why):
                raise SetupError(
                    f"{shown(mirror.uri)} has another file than the wanted one under the name "
                    f"{entry.path}: {why}",
                    f"it is not used; try again later, or name another mirror in {SOURCES}",
                )
            if not _NOT_THERE.search(why):
                raise SetupError(
                    f"cannot download Debian packages: {shown(mirror.uri)} says: {why} "
                    f"({names(missing)})",
                    apt.NETWORK,
                )
    mirror, why = next(
        (mirror, reasons[missing[0]])
        for mirror, reasons in said
        if _NOT_THERE.search(reasons[missing[0]])
    )
    raise Gone(missing, f"{shown(mirror.uri)} says: {why}")
