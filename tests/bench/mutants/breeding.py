"""Mutants of recordings and of bundles, made from valid ones.

Half of them are damaged as they are on disk, and nearly all of these are detected by a digest. In
the others all digests are correct again, so the damage reaches the code behind that check.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import zstandard
from blake3 import blake3

from branchpoint.events.event import Event
from branchpoint.events.eventfile import _HEAD as BLOCK
from branchpoint.events.eventfile import EventFile
from branchpoint.futures.draws import Question
from branchpoint.sharing.bundle import archive, contents
from branchpoint.store.checkpoints import _HEAD as CHECKPOINT
from branchpoint.store.frames import _HEADER, _SIGNED
from mutants.harm import changed, changed_json, harmed, patched, sealed

Files = dict[str, bytes]
"""A folder: file contents by relative names."""


def files_of(folder: Path) -> Files:
    """All files in a folder."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def write(files: Files, folder: Path) -> Path:
    """A folder with these files."""
    for name, data in files.items():
        path = folder / name
        with contextlib.suppress(FileExistsError, IsADirectoryError, NotADirectoryError):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    return folder


# -- one file of a recording, with correct digests


def resealed(files: Files, chance: Random) -> Files:
    """The recording with other content in one file, sometimes in a few."""
    found = dict(files)
    for _ in range(chance.choice((1, 1, 1, 2))):
        kind = chance.choice(list(_KINDS))
        names = [name for name in found if name.startswith(kind) and name.endswith(_KINDS[kind][0])]
        if names:
            name = chance.choice(names)
            _KINDS[kind][1](found, name, chance)
    return found


def _head(files: Files, name: str, chance: Random) -> None:
    try:
        document = json.loads(files["recording.json"])["recording"]
    except (ValueError, RecursionError):  # it is damaged already
        return
    data = sealed("recording", changed(document, chance), chance.random() < 0.98)
    files["recording.json"] = files["recording.json.bak"] = data


def _lines(files: Files, name: str, chance: Random) -> None:
    lines = files[name].split(b"\n")
    number = chance.randrange(len(lines))
    body = lines[number].partition(b" ")[2]
    body = changed_json(body, chance, list(files.values())).replace(b"\n", b"")
    if chance.random() < 0.1:
        body = harmed(body, chance).replace(b"\n", b"")
    lines[number] = blake3(body).hexdigest(16).encode() + b" " + body
    if chance.random() < 0.1:
        lines *= chance.choice((2, 100))
    files[name] = b"\n".join(lines)


def _frames(data: bytes) -> list[tuple[bytes, bytes, bytes]]:
    """Magic, head and body of each frame of a file."""
    found, at = [], 0
    while at < len(data):
        magic, head, body, _, _ = _HEADER.unpack_from(data, at)
        start = at + _HEADER.size
        at = start + head + body
        found.append((magic, data[start : start + head], data[start + head : at]))
    return found


def _framed(frames: list[tuple[bytes, bytes, bytes]]) -> bytes:
    out = []
    for magic, head, body in frames:
        signed = _SIGNED.pack(magic, len(head), len(body), blake3(body).digest(16))
        out += [signed, blake3(signed + head).digest(16), head, body]
    return b"".join(out)


def _events(files: Files, name: str, chance: Random) -> None:
    frames = _frames(files[name])
    number = chance.randrange(len(frames))
    magic, head, body = frames[number]
    what = chance.randrange(5)
    if what == 0:
        head = patched(head, chance, BLOCK)
    elif what == 1:
        head = harmed(head, chance)
    elif what == 2:
        body = harmed(body, chance, list(files.values()))
    else:
        plain = zstandard.ZstdDecompressor().decompress(body)
        if what == 3:
            plain = harmed(plain, chance)
        else:
            block = changed(msgspec.msgpack.decode(plain), chance)
            plain = _msgpack(block)
        body = zstandard.ZstdCompressor(write_content_size=chance.random() < 0.95).compress(plain)
    frames[number] = magic, head, body
    if chance.random() < 0.1:
        chance.choice((frames.reverse, lambda: frames.extend(frames * 3), frames.pop))()
    files[name] = _framed(frames)


def _msgpack(block: Any) -> bytes:
    """Values that cannot be written like this are written as text."""

    def plain(value: Any) -> Any:
        if isinstance(value, str):
            return value.encode("utf-8", "replace").decode()
        if isinstance(value, int) and not -(2**63) <= value < 2**64:
            return 2**64 - 1
        if isinstance(value, dict):
            return {plain(key): plain(inner) for key, inner in value.items()}
        return [plain(inner) for inner in value] if isinstance(value, list) else value

    return msgspec.msgpack.encode(plain(block))


def _pages(files: Files, name: str, chance: Random) -> None:
    frames = _frames(files[name])
    number = chance.randrange(len(frames))
    magic, head, body = frames[number]
    what = chance.randrange(3)
    if what == 0:
        head = harmed(head, chance)[: 32 * 16]
    elif what == 1:
        body = harmed(body, chance)
    else:
        plain = zstandard.ZstdDecompressor().decompress(body)
        body = zstandard.ZstdCompressor(level=1).compress(harmed(plain, chance))
    frames[number] = magic, head, body[: 32 * 4096 + 4096]
    files[name] = _framed(frames)


def _checkpoint(files: Files, name: str, chance: Random) -> None:
    magic, rest = files[name][:8], files[name][40:]
    rest = patched(rest, chance, CHECKPOINT) if chance.random() < 0.5 else harmed(rest, chance)
    files[name] = magic + blake3(rest).digest() + rest
    if chance.random() < 0.2:
        files[f"checkpoints/{chance.choice((0, 1, 2**63 - 1, 2**63, 10**19, 7))}"] = files[name]


def _question(files: Files, name: str, chance: Random) -> None:
    """Its name depends on its content; in a good one, its draws are beside it."""
    data = changed_json(files.pop(name), chance)
    if chance.random() < 0.3:
        data = harmed(data, chance)
    new = name
    with contextlib.suppress(ValueError, RecursionError):
        new = f"curves/{msgspec.json.decode(data, type=Question).key}.json"
    files[new] = data
    if f"{name}l" in files:
        files[f"{new}l"] = files.pop(f"{name}l")


_KINDS: dict[str, tuple[str, Callable[[Files, str, Random], None]]] = {
    "recording.json": ("recording.json", _head),
    "futures": (".jsonl", _lines),
    "digests": (".jsonl", _lines),
    "events/": (".log", _events),
    "pages/": (".pack", _pages),
    "checkpoints/": ("", _checkpoint),
    "curves": (".json", _question),
    "curves/": (".jsonl", _lines),
}


# -- unexpected events, in valid files


def retold(files: Files, events: list[Event], chance: Random, path: Path) -> Path:
    """A recording at ``path`` in which other things happened; written like our own."""
    document = json.loads(files["recording.json"])["recording"]
    for name in chance.sample(("origin", "end", "failure"), chance.randrange(3)):
        document[name] = chance.choice((*_INSTANTS, document["origin"], document["end"]))
    write({**files, "recording.json": sealed("recording", document)}, path)
    for each in (path / "events").iterdir() if chance.random() < 0.8 else ():
        each.unlink()
    told = [_retold(event, chance) if chance.random() < 0.3 else event for event in events]
    told *= chance.choice((1,) * 39 + (40,))
    told.sort(key=lambda event: event.at)
    fd = os.open(path / "events", os.O_RDONLY)
    try:
        file = EventFile(fd, write=True)
        file.add(told)
        file.flush()
        file.close()
    finally:
        os.close(fd)
    return path


def _retold(event: Event, chance: Random) -> Event:
    changes: dict[str, Any] = {}
    for name in chance.sample(("at", "text", "type", "container", "stream", "source", "fields"), 3):
        if name == "at":
            changes[name] = chance.choice((*_INSTANTS, event.at))
        elif name == "fields":
            pairs = chance.choices(_PAIRS, k=chance.randrange(6))
            changes[name] = dict(pair.split("=", 1) for pair in pairs)
        else:
            changes[name] = chance.choice((*_SAID, event.type, event.container, event.text))
    return msgspec.structs.replace(event, **changes)


_INSTANTS = (0, 1, 2**31, 2**32, 2**53 + 1, 2**62, 2**63 - 2, 2**63 - 1, 10**15)
_SAID = (
    "", "log", "err", "out", "sdk", "container.exit", "container.start", "container.pause",
    "container.health", "container.oom", "fault.start", "fault.end", "sdk.assert", "sdk.event",
    "process.exit", "process.start", "error", "setup.complete", "fault", "container", "life",
    "(guest)", "server.1", "client.1", "../x", "x" * 70_000, "\x1b[2J\x1b]0;x\x07",
    "\u202e$\\frac{", "<script>", "\0", "\n", "=cmd()", "é\U0001f600", "%s{}", "." * 300,
)  # fmt: skip
_PAIRS = (
    "id=1", "id=", "id=" + "9" * 4400, "code=0", "code=x", "code=" + "1" * 4400, "signal=9",
    "signal=²", "type=kill", "type=latency", "type=", "target=server.1", "target=a|b,c",
    "target=(guest)", "params=delay=137000 jitter=x", "params=share=-1", "for=5", "for=" + "1" * 25,
    "for=²", "violated=1", "message=x", "hit=1", "condition=0", "asked=1", "status=healthy",
    "about=process/1", "about=fault/1", "dead=1", "why=healed", "details={", "location=:",
)  # fmt: skip


# -- folders


def folder(files: Files, chance: Random, path: Path, outside: Path) -> Path:
    """A recording at ``path`` in which a file is damaged, missing, or something else.

    Links lead to ``outside``.
    """
    found = dict(files)
    for _ in range(chance.choice((1, 1, 1, 3))):
        name = chance.choice(list(found))
        what = chance.randrange(12)
        if what < 8:
            found[name] = harmed(found[name], chance, list(found.values()))
        elif what == 8:
            del found[name]
        elif what == 9:
            found[name] = chance.choice(list(found.values()))
        elif what == 10:
            found[name + chance.choice((".new", "x", "\u202e", " ", "/x"))] = b"x"
            found.pop(name)
        else:
            found[f"{Path(name).parent}/{chance.choice(_NAMES)}"] = found[name]
    write(found, path)
    if chance.random() < 0.1:
        victim = path / chance.choice([*found, "pages", "events", "boot", "curves"])
        _something_else(victim, chance, outside)
    return path


_NAMES = ("000000.log", "999999.log", "000002.pack", "\udcff", "a" * 200, "0", "00", "-1", "boot",
          "recording.json.bak", ".recording.json.new", "curves", "x.json", "x.jsonl")  # fmt: skip


def _something_else(path: Path, chance: Random, outside: Path) -> None:
    """Replace a file by something that is no file, or a folder by something that is no folder."""
    if path.is_dir():
        path.rename(outside / "moved")
    else:
        path.unlink(missing_ok=True)
    if not path.parent.is_dir():
        return
    make: list[Callable[[], object]] = [
        lambda: path.symlink_to(outside / "linked"),
        lambda: path.symlink_to(path.name),
        lambda: os.mkfifo(path),
        lambda: path.mkdir(),
        lambda: path.write_bytes(b""),
        lambda: (path.touch(), os.truncate(path, 400 << 20)),
    ]
    chance.choice(make)()


# -- bundles


@dataclass(frozen=True)
class Bundle:
    """A valid bundle, taken apart."""

    data: bytes
    table: dict[str, Any]
    parts: Files

    @classmethod
    def of(cls, data: bytes) -> Bundle:
        """The content of a bundle's bytes."""
        reader = archive.Reader(io.BytesIO(data))
        table = json.loads(reader.first(contents.NAME, contents.MAX_BYTES))["bundle"]
        wanted = [(p["name"] + ".zst" * p["packed"], p["stored"]) for p in table["parts"]]
        parts = {}
        for part, (_, entry) in zip(table["parts"], reader.entries(wanted), strict=True):
            content = entry.read()
            if part["packed"]:
                content = zstandard.ZstdDecompressor().decompress(
                    content, max_output_size=part["size"]
                )
            parts[part["name"]] = content
        return cls(data, table, parts)


def bundle(made: Bundle, chance: Random) -> bytes:
    """A bundle in which all digests are correct, but something else is wrong."""
    parts, table = dict(made.parts), json.loads(json.dumps(made.table))
    what = chance.randrange(6)
    if what < 3:
        inner = {name.removeprefix("recording/"): data for name, data in parts.items()
                 if name.startswith("recording/")}  # fmt: skip
        parts = {name: data for name, data in parts.items() if name not in made.parts or
                 not name.startswith("recording/")}  # fmt: skip
        parts |= {f"recording/{name}": data for name, data in resealed(inner, chance).items()
                  if not name.endswith(".bak")}  # fmt: skip
    elif what == 3:
        name = chance.choice([*parts, *(["notebook.ipynb"] * 3 * bool(made.table["notebook"]))])
        harm = notebook if name == "notebook.ipynb" else harmed
        parts[name] = harm(parts[name], chance)
    elif what == 4:
        name = chance.choice(_ENTRIES)
        parts[name] = parts.pop(chance.choice(list(parts))) if chance.random() < 0.5 else b"evil"
    described = []
    for name in sorted(parts):
        part, parts[name] = _described(name, parts[name], chance)
        described.append(part)
    names = [part["name"] + ".zst" * part["packed"] for part in described]
    table["parts"] = described
    if what == 5 or chance.random() < 0.15:
        table = changed(table, chance)
    entries = list(zip(names, (parts[part["name"]] for part in described), strict=True))
    if chance.random() < 0.1:
        chance.choice((entries.reverse, lambda: entries.extend(entries[:2]), entries.pop))()
    return _archived(sealed("bundle", table), entries)


_ENTRIES = ("../evil", "/evil", "recording/../../evil", "recording/recording.json.bak", "recording",
            "recording/events/../../../evil", "recording/boot", "recording/x", "notebook.ipynb",
            "guest/image.json", "boot/snapshot.json", "recording/pages/000001.pack", "", "\0", "é",
            "recording/curves/" + "a" * 24 + ".json", "recording/events/000009.log")  # fmt: skip


def _described(name: str, content: bytes, chance: Random) -> tuple[dict[str, Any], bytes]:
    """A line of the table of contents, and the stored bytes of the part."""
    line = {"name": name, "size": len(content), "blake3": blake3(content).hexdigest()}
    stored = content
    if len(content) > 4000:
        stored = zstandard.ZstdCompressor(level=1).compress(content)
    if chance.random() < 0.03:
        stored = harmed(stored, chance)
    line |= {"stored": len(stored), "packed": stored is not content}
    if chance.random() < 0.03:
        line[chance.choice(("size", "stored"))] = chance.choice((0, len(content) + 1, 2**31, 2**62))
    return line, stored


def _archived(table: bytes, entries: list[tuple[str, bytes]]) -> bytes:
    out = io.BytesIO()
    writer = archive.Writer(out)
    for name, content in [(contents.NAME, table), *entries]:
        try:
            writer.add(name, io.BytesIO(content), len(content))
        except (struct.error, UnicodeEncodeError):
            continue
    writer.finish()
    return out.getvalue()


def notebook(data: bytes, chance: Random) -> bytes:
    """Another notebook."""
    if chance.random() < 0.3:
        return harmed(data, chance)
    return changed_json(data, chance)
