"""Instructions that change only an image's configuration: CMD, ENV, HEALTHCHECK, USER, ..."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import replace

from branchpoint import units
from branchpoint.system.images.archive import ImageConfig
from branchpoint.system.images.dockerfile.syntax import Instruction
from branchpoint.system.images.dockerfile.words import (
    command,
    expand,
    json_words,
    pairs,
    split,
)
from branchpoint.system.linux import signal_number
from branchpoint.system.model import Healthcheck

KEYWORDS = (
    "CMD", "ENTRYPOINT", "ENV", "EXPOSE", "HEALTHCHECK", "LABEL", "MAINTAINER", "ONBUILD", "SHELL",
    "STOPSIGNAL", "USER", "VOLUME",
)  # fmt: skip
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Of an image that says nothing, as docker has it."""

_PORTS = re.compile(r"\d{1,5}(-\d{1,5})?(/(tcp|udp|sctp))?", re.IGNORECASE)
_LARGEST = 4 << 20  # characters of all variables; a process could not start with that many
_MOST_RETRIES = 1_000_000
_YEAR = 365 * 24 * 3600 * units.SECOND


def changed(
    config: ImageConfig, step: Instruction, variables: Mapping[str, str], has_command: bool
) -> ImageConfig:
    """The configuration after an instruction of :data:`KEYWORDS`.

    ``has_command``: whether the stage has a CMD of its own, which ENTRYPOINT then keeps.

    :raises ImageError: with file and line, for what is wrong in the instruction.
    """
    text = step.text
    match step.keyword:
        case "ENV":
            config = with_environment(config, _expanded_pairs(step, variables))
            if sum(map(len, config.environment)) > _LARGEST:
                raise step.error(f"the variables have more than {_LARGEST >> 20} MiB")
        case "CMD":
            return replace(config, command=command(config.shell, text))
        case "ENTRYPOINT":
            return replace(
                config,
                entrypoint=command(config.shell, text),
                command=config.command if has_command else (),
            )
        case "SHELL":
            shell = json_words(text)
            if not shell:
                raise step.error("SHELL needs a list in JSON", 'write SHELL ["/bin/bash", "-c"]')
            return replace(config, shell=tuple(shell))
        case "USER":
            user = expand(step, text, variables).strip()
            if len(user.split()) > 1:
                raise step.error(f'USER needs one word, not "{user:.80}"')
            return replace(config, user=user)  # an empty one is root, as with docker
        case "STOPSIGNAL":
            signal = _one(step, variables)
            if signal_number(signal) is None:
                raise step.error(f'there is no signal "{signal:.40}"')
            return replace(config, stop_signal=signal)
        case "VOLUME":
            listed = json_words(text)
            found = [expand(step, word, variables) for word in listed or text.split()]
            if not all(word.strip() for word in found):
                raise step.error("VOLUME has an empty path")
            return replace(config, volumes=tuple(sorted({*config.volumes, *found})))
        case "HEALTHCHECK":
            return replace(config, healthcheck=_healthcheck(step))
        case "ONBUILD":
            return replace(config, triggers=(*config.triggers, _trigger(step)))
        case "EXPOSE":  # only documents: in the machine, all ports are open
            for port in split(step, text, variables):
                if not _PORTS.fullmatch(port):
                    raise step.error(f'"{port:.40}" is not a port', 'write "8080" or "53/udp"')
        case "LABEL":  # nothing reads labels in the machine
            _expanded_pairs(step, variables)
    return config


def with_environment(config: ImageConfig, values: Mapping[str, str]) -> ImageConfig:
    """The configuration with these variables set, too."""
    environment = {**variables_of(config), **values}
    return replace(config, environment=tuple(f"{k}={v}" for k, v in environment.items()))


def variables_of(config: ImageConfig) -> dict[str, str]:
    """The variables that the image sets."""
    return dict(entry.partition("=")[::2] for entry in config.environment)


def within(config: ImageConfig, path: str) -> str:
    """``path`` in the image as an absolute one, normal, but with the slash at its end."""
    if path in ("", "."):
        path = "./"
    full = posixpath.normpath("/" + posixpath.join(config.working_dir, path).lstrip("/"))
    return f"{full}/" if path.endswith(("/", "/.")) and full != "/" else full


def _one(step: Instruction, variables: Mapping[str, str]) -> str:
    value = expand(step, step.text, variables).strip()
    if not value or len(value.split()) > 1:
        raise step.error(f'{step.keyword} needs one word, not "{value:.80}"')
    return value


def _expanded_pairs(step: Instruction, variables: Mapping[str, str]) -> dict[str, str]:
    """Keys and values; all of a line see the variables as they were before it."""
    return {
        expand(step, key, variables): expand(step, value or "", variables)
        for key, value in pairs(step, step.text)
    }


def _healthcheck(step: Instruction) -> Healthcheck:
    kind, _, rest = step.text.partition(" ")
    kind, rest = kind.upper(), rest.strip()
    if kind == "NONE":
        if rest or step.flags:
            raise step.error("HEALTHCHECK NONE takes no more words")
        return Healthcheck(("NONE",), disabled=True)
    if kind != "CMD" or not rest:
        raise step.error("HEALTHCHECK needs CMD and a command, or NONE")
    listed = json_words(rest)
    if listed is not None and not listed:
        raise step.error("HEALTHCHECK CMD has no command")
    test = ("CMD-SHELL", rest) if listed is None else ("CMD", *listed)
    retries = step.flag("retries")
    if retries is not None and not (
        re.fullmatch(r"\d{1,7}", retries) and 0 < int(retries) <= _MOST_RETRIES
    ):
        raise step.error(f'--retries must be a number, 1 or more, not "{retries:.40}"')
    return Healthcheck(
        test,
        _duration(step, "interval"),
        _duration(step, "timeout"),
        None if retries is None else int(retries),
        _duration(step, "start-period"),
        _duration(step, "start-interval"),
    )


def _duration(step: Instruction, name: str) -> int | None:
    """Nanoseconds; None for 0, too, which means: as usual."""
    written = step.flag(name)
    if written is None:
        return None
    value = units.nanoseconds(written)
    if value is None or not 0 <= value <= _YEAR:
        raise step.error(f'--{name} must be a duration, not "{written:.40}"', 'write "30s"')
    return value or None


def _trigger(step: Instruction) -> str:
    keyword = step.text.split()[0].upper()
    if keyword in ("ONBUILD", "FROM", "MAINTAINER"):
        raise step.error(f"ONBUILD {keyword} is not allowed")
    return step.text
