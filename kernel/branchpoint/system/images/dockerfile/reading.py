"""RUN, COPY and ADD -> what has to be done, with all variables replaced."""

from __future__ import annotations

import re
from collections.abc import Mapping

from branchpoint.errors import ImageError
from branchpoint.system.images.archive import ImageConfig
from branchpoint.system.images.dockerfile import copying, running, settings
from branchpoint.system.images.dockerfile.context import Context
from branchpoint.system.images.dockerfile.patterns import excluded
from branchpoint.system.images.dockerfile.running import Job
from branchpoint.system.images.dockerfile.steps import Copy
from branchpoint.system.images.dockerfile.syntax import Instruction, words
from branchpoint.system.images.dockerfile.words import (
    command,
    expand,
    json_words,
    only_variables,
    split,
)

_REMOTE = re.compile(r"(https?|ftp)://|git@|ssh://|git://", re.IGNORECASE)
_GIT = re.compile(r"\S+\.git(#.*)?")
_HEREDOC = re.compile(r"\d*<<-?[A-Za-z_].*")
_MODE = re.compile(r"0?[0-7]{3,4}")


def job(step: Instruction, config: ImageConfig, environment: Mapping[str, str]) -> Job:
    """What a RUN starts.

    :raises ImageError: with file and line, for flags that are not supported.
    """
    network = step.flag("network") or "default"
    if network not in ("default", "none"):
        raise step.error(f"--network={network:.40} is not supported", "RUN has no network here")
    security = step.flag("security") or "sandbox"
    if security != "sandbox":
        raise step.error(f"--security={security:.40} is not supported")
    text = step.text
    scripts: tuple[tuple[str, str], ...] = ()
    for document in step.heredocs:
        text += f"\n{document.content}{document.name}"
    args = command(config.shell, text)
    if len(step.heredocs) == 1 and len(words(step.text, step.escape)) == 1:
        document = step.heredocs[0]
        if document.content.startswith("#!"):
            scripts = ((document.name, document.content),)
            args = (*config.shell, f"{running.SCRIPTS}/{document.name}")
        else:
            args = (*config.shell, document.content)
    if not args:
        raise step.error("RUN has no command")
    return Job(
        text,
        args,
        tuple(f"{key}={value}" for key, value in environment.items()),
        config.working_dir,
        config.user,
        scripts,
    )


def copy(
    step: Instruction,
    config: ImageConfig,
    variables: Mapping[str, str],
    context: Context | None,
    origin: str,
) -> Copy:
    """What a COPY or ADD copies from the context, where it is looked up now, or else from the
    image with the id ``origin``.

    :raises ImageError: with file and line, for a source that is not there or not supported.
    """
    listed = json_words(step.text)
    if listed is None and step.text.startswith("[") and step.text.endswith("]"):
        raise step.error(f"{step.text:.80} is no list in JSON", 'write ["a source", "a target"]')
    if listed is None:
        found = split(step, step.text, variables)
    else:
        found = [expand(step, word, variables) for word in listed]
    if len(found) < 2 or not all(found):
        raise step.error(f"{step.keyword} needs a source and a target")
    *sources, target = found
    if step.heredocs:
        sources = [source for source in sources if not _HEREDOC.fullmatch(source)]
    if step.keyword == "ADD":
        for source in sources:
            if _REMOTE.match(source) or _GIT.fullmatch(source):
                raise step.error(
                    f"ADD cannot fetch {source:.200}: there is no network",
                    "fetch it into the context yourself, and ADD or COPY the file",
                )
    full = settings.within(config, target)
    if len(sources) + len(step.heredocs) > 1 and not full.endswith("/"):
        error = copying.several(full)
        raise step.error(error.message, error.hint)
    if context is None and step.heredocs:
        raise step.error("a here-document cannot be copied from a stage")
    parents = _yes(step, "parents")
    left_out = tuple(
        expand(step, text, variables) for flag, text in step.flags if flag == "exclude"
    )
    try:
        rules = excluded(left_out)
    except ImageError as error:
        raise step.error(f"--exclude: {error.message}") from None
    content = origin
    if context is not None:
        picked = [each.without(rules) for source in sources for each in context.find(step, source)]
        content = "\0".join(each.digest() for each in picked if each is not None)
    return Copy(
        tuple(sources),
        tuple(_text(step, number, variables) for number in range(len(step.heredocs))),
        full,
        _flag(step, "chown", variables),
        _mode(step, variables),
        step.keyword == "ADD",
        content,
        left_out,
        parents,
    )


def _text(step: Instruction, number: int, variables: Mapping[str, str]) -> tuple[str, str]:
    document = step.heredocs[number]
    content = document.content
    return document.name, only_variables(step, content, variables) if document.expand else content


def _flag(step: Instruction, name: str, variables: Mapping[str, str]) -> str | None:
    written = step.flag(name)
    return None if written is None else expand(step, written, variables) or None


def _yes(step: Instruction, name: str) -> bool:
    """Whether a flag that needs no value is given."""
    values = [value for flag, value in step.flags if flag == name]
    if values and values[-1].lower() not in ("", "true", "false"):
        raise step.error(f'--{name} is true or false, not "{values[-1]:.40}"')
    return bool(values) and values[-1].lower() != "false"


def _mode(step: Instruction, variables: Mapping[str, str]) -> int | None:
    written = _flag(step, "chmod", variables)
    if written is None:
        return None
    if not _MODE.fullmatch(written):
        raise step.error(f'--chmod must be octal like 755, not "{written:.40}"')
    return int(written, 8)
