"""RUN --mount: places that a RUN sees, and of which nothing stays.

A cache is an empty directory each time, since what is in it may not change the image. Files of the
context, of a stage or of an image can be mounted, too, to be read, and secrets of the compose file.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass

from branchpoint import units
from branchpoint.system.images.archive import ImageConfig
from branchpoint.system.images.dockerfile.patterns import is_pattern
from branchpoint.system.images.dockerfile.settings import within
from branchpoint.system.images.dockerfile.syntax import Instruction

_OPTIONS = {
    "bind": ("from", "source", "target"),
    "secret": ("env", "gid", "id", "mode", "required", "target", "uid"),
    "cache": ("gid", "id", "mode", "sharing", "target", "uid"),
    "tmpfs": ("size", "target"),
}
_NAMES = {"dst": "target", "destination": "target", "src": "source"}
_SECRET = {"mode": "0400", "uid": "0", "gid": "0"}  # as docker has it
_NO_MATTER = ("ro", "readonly")  # a bind is read-only in any case


@dataclass(frozen=True)
class Scratch:
    """An empty directory; ``options`` as mount(8) writes them."""

    target: str
    options: tuple[str, ...]


@dataclass(frozen=True)
class Bound:
    """``source`` in the context (``origin`` None), or in the stage or image called ``origin``."""

    target: str
    source: str
    origin: str | None


@dataclass(frozen=True)
class Secret:
    """The secret ``name`` as a file at ``target``, or in a variable (``environment``)."""

    name: str
    target: str
    environment: str
    mode: int
    uid: int
    gid: int
    required: bool


def read(step: Instruction, config: ImageConfig) -> list[Scratch | Bound | Secret]:
    """What the flags --mount of a RUN ask for.

    :raises ImageError: with file and line, for what is not supported.
    """
    found: list[Scratch | Bound | Secret] = []
    for options in _options(step):
        kind = options.pop("type")
        if kind == "secret":
            found.append(_secret(step, options, config))
            continue
        target = options.get("target", "")
        if not target or "$" in target:
            raise step.error(f'--mount needs a target, not "{target:.80}"')
        target = posixpath.normpath(within(config, target))
        if kind == "bind" and is_pattern(options.get("source", "")):
            raise step.error(f'a pattern cannot be mounted: "{options["source"]:.80}"')
        if kind == "bind":
            found.append(Bound(target, options.get("source", "/"), options.get("from")))
        else:
            found.append(Scratch(target, _tmpfs(step, options)))
    return found


def origins(step: Instruction) -> list[str]:
    """The stages and images whose files a RUN mounts.

    :raises ImageError: as :func:`read` does.
    """
    return [options["from"] for options in _options(step) if "from" in options]


def _options(step: Instruction) -> list[dict[str, str]]:
    """Of each --mount, its options by their first names."""
    found = []
    for flag, written in step.flags:
        if flag != "mount":
            continue
        pairs = [part.partition("=")[::2] for part in written.split(",")]
        options = {_NAMES.get(key, key): value for key, value in pairs}
        kind = options.setdefault("type", "bind")
        if kind not in _OPTIONS:
            raise step.error(
                f"--mount of the type {kind:.40} is not supported",
                "COPY what RUN needs, and remove it at its end",
            )
        for key in options:
            if key not in (*_OPTIONS[kind], "type", *(_NO_MATTER if kind == "bind" else ())):
                raise step.error(f'"{key:.40}" in --mount=type={kind} is not supported')
        found.append(options)
    return found


def _secret(step: Instruction, options: dict[str, str], config: ImageConfig) -> Secret:
    target, variable = options.get("target", ""), options.get("env", "")
    name = options.get("id") or posixpath.basename(target) or variable
    if not name:
        raise step.error("--mount=type=secret needs an id", "write id=NAME")
    if not target and not variable:
        target = f"/run/secrets/{name}"
    if "$" in target:
        raise step.error(f'a target of --mount cannot be a variable: "{target:.80}"')
    if target:
        target = posixpath.normpath(within(config, target))
    mode, uid, gid = (options.get(key, usual) for key, usual in _SECRET.items())
    for key, value in zip(_SECRET, (mode, uid, gid), strict=True):
        _number(step, key, value)
    required = options.get("required", "false").lower() in ("", "1", "true")
    return Secret(name, target, variable, int(mode, 8), int(uid), int(gid), required)


def _number(step: Instruction, key: str, value: str) -> None:
    if not re.fullmatch(r"[0-7]{1,4}" if key == "mode" else r"\d{1,9}", value):
        raise step.error(f'"{key}" in --mount must be a number, not "{value:.40}"')


def _tmpfs(step: Instruction, options: dict[str, str]) -> tuple[str, ...]:
    made = {"mode": "755"}
    made |= {key: options[key] for key in ("mode", "uid", "gid") if key in options}
    for key, value in made.items():
        _number(step, key, value)
    if "size" in options:
        size = units.size(options["size"])
        if not size:
            raise step.error(f'"size" in --mount must be a size, not "{options["size"]:.40}"')
        made["size"] = str(size)
    return ("exec", *(f"{key}={value}" for key, value in made.items()))
