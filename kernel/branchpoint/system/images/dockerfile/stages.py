"""A Dockerfile's stages: what each is made of, known before anything is built.

Variables, stages and bases are resolved as docker resolves them, so an image's configuration and
its id are known at once; only :meth:`Stage.build` needs time.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

import msgspec

from branchpoint.errors import BranchpointError, ImageError
from branchpoint.guest import workshop
from branchpoint.guest.tree import Tree
from branchpoint.system.images.archive import ImageConfig
from branchpoint.system.images.dockerfile import mounts, reading, settings
from branchpoint.system.images.dockerfile.context import Context
from branchpoint.system.images.dockerfile.mounts import Bound, Scratch
from branchpoint.system.images.dockerfile.steps import Directory, Run, Step, record
from branchpoint.system.images.dockerfile.syntax import MAX_INSTRUCTIONS, Instruction, parse
from branchpoint.system.images.dockerfile.words import expand, pairs

PLATFORM = {
    **{f"{side}PLATFORM": "linux/amd64" for side in ("TARGET", "BUILD")},
    **{f"{side}OS": "linux" for side in ("TARGET", "BUILD")},
    **{f"{side}ARCH": "amd64" for side in ("TARGET", "BUILD")},
    **{f"{side}VARIANT": "" for side in ("TARGET", "BUILD")},
}
"""The variables that docker sets by itself."""

_STAGE = re.compile(r"[a-z][a-z0-9._-]*")
_MOST = 200  # stages
_PLATFORMS = ("linux/amd64", "linux/x86_64", "linux")


class Base(Protocol):
    """An image that a stage begins with, or copies from."""

    @property
    def id(self) -> str: ...

    @property
    def config(self) -> ImageConfig: ...

    @property
    def unpack(self) -> Callable[[], Tree]: ...


@dataclass(frozen=True)
class _Part:
    """The text of one stage, with its FROM resolved."""

    number: int
    name: str
    base: str
    start: Instruction
    body: list[Instruction]


@dataclass
class Stage:
    """A stage, ready to be built; ``id`` covers every byte that goes into it."""

    base: Stage | Base | None
    config: ImageConfig
    arguments: dict[str, str] = field(default_factory=dict)
    steps: list[tuple[Instruction, Step, list[Stage | Base | Context]]] = field(
        default_factory=list
    )
    id: str = ""

    def build(self, known: dict[str, Tree] | None = None) -> Tree:
        """The files of the image. ``known`` are those of others, by their ids.

        :raises ImageError: with file and line of the instruction that fails.
        """
        known = {} if known is None else known
        tree = Tree()
        if self.base is not None:
            base = _tree(self.base, known)
            tree.merge(base)
            root = base.root
            tree.add_dir("", root.mode & 0o7777, root.uid, root.gid, root.mtime)
        for instruction, step, others in self.steps:
            try:
                origins = [o if isinstance(o, Context) else _tree(o, known) for o in others]
                step.apply(tree, instruction, origins)
            except ImageError as error:
                raise _located(instruction, error) from error
        return tree


def _tree(origin: Stage | Base, known: dict[str, Tree]) -> Tree:
    """The files of a stage or an image, made once in a build."""
    if origin.id not in known:
        known[origin.id] = origin.build(known) if isinstance(origin, Stage) else origin.unpack()
    return known[origin.id]


def _located(instruction: Instruction, error: BranchpointError) -> ImageError:
    """The error with file and line in front, if it has none."""
    where = f"{instruction.file}:"
    if error.message.startswith(where):
        return ImageError(error.message, error.hint)
    return instruction.error(error.message, error.hint)


class Dockerfile:
    """A Dockerfile with its build arguments; nothing is looked up before :meth:`plan`."""

    def __init__(self, text: str, file: str, arguments: Mapping[str, str], target: str) -> None:
        """:raises ImageError: with file and line, for what is no Dockerfile."""
        self._given = arguments
        self._globals = dict(PLATFORM)
        self._file = file
        self._parts = self._split(parse(text, file))
        self._target = self._aimed(target)

    def names(self) -> list[str]:
        """The images that the wanted stage needs, as they are written in FROM and COPY --from."""
        found = {name: None for part in self._needed() for name in self._images(part)}
        return list(found)

    def plan(self, context: Context, find: Callable[[str], Base]) -> Stage:
        """The wanted stage. ``find`` gives the image of a name.

        :raises ImageError: with file and line, for whatever cannot be done as written.
        """
        stages: dict[int, Stage] = {}
        for part in self._needed():
            stages[part.number] = self._plan(part, stages, context, find)
        return stages[self._target.number]

    # --- stages ---

    def _split(self, instructions: list[Instruction]) -> list[_Part]:
        parts: list[_Part] = []
        for step in instructions:
            if step.keyword == "FROM":
                parts.append(self._from(step, parts))
            elif parts:
                parts[-1].body.append(step)
            elif step.keyword == "ARG":
                for key, value in pairs(step, step.text, bare=True):
                    if key in self._given:
                        self._globals[key] = self._given[key]
                    elif value is not None:
                        self._globals[key] = expand(step, value, self._globals)
            else:
                raise step.error(f"{step.keyword} stands before the first FROM")
        if len(parts) > _MOST:
            raise parts[_MOST].start.error(f"there are more than {_MOST} stages")
        if not parts:
            raise ImageError(f"{self._file} has no FROM", "it names the image to begin with")
        return parts

    def _from(self, step: Instruction, before: list[_Part]) -> _Part:
        words = step.text.split()
        if len(words) not in (1, 3) or (len(words) == 3 and words[1].upper() != "AS"):
            raise step.error("FROM is not understood", "write FROM IMAGE, or FROM IMAGE AS NAME")
        platform = expand(step, step.flag("platform") or "linux", self._globals)
        if platform not in _PLATFORMS:
            raise step.error(
                f'the platform "{platform:.80}" is not supported', "the machine is linux/amd64"
            )
        base = expand(step, words[0], self._globals)
        if not base:
            raise step.error(
                f'"{words[0]:.80}" is empty: no image to begin with',
                "give a default in an ARG before the first FROM",
            )
        name = words[2].lower() if len(words) == 3 else ""
        if name and not _STAGE.fullmatch(name):
            raise step.error(f'"{name:.80}" cannot be the name of a stage')
        if name and any(part.name == name for part in before):
            raise step.error(f'there are two stages "{name:.80}"')
        return _Part(len(before), name, base, step, [])

    def _aimed(self, target: str) -> _Part:
        if not target:
            return self._parts[-1]
        names = [part.name or str(part.number) for part in self._parts]
        for part in self._parts:
            if target.lower() == part.name or target == str(part.number):
                return part
        raise ImageError(
            f'{self._file} has no stage "{target:.80}"', f"its stages are: {', '.join(names)}"
        )

    def _stage_of(self, name: str, part: _Part, numbers: bool) -> _Part | None:
        """The stage before ``part`` that is called so; with ``numbers``, they are names, too."""
        for other in self._parts[: part.number]:
            if other.name == name.lower() or (numbers and name == str(other.number)):
                return other
        return None

    def _needed(self) -> list[_Part]:
        """The wanted stage and all that it is made of, in their order."""
        pending, needed = [self._target], {self._target.number}
        while pending:
            part = pending.pop()
            for name, numbers in _wanted(part):
                other = self._stage_of(name, part, numbers)
                if other is not None and other.number not in needed:
                    needed.add(other.number)
                    pending.append(other)
        return [self._parts[number] for number in sorted(needed)]

    def _images(self, part: _Part) -> list[str]:
        return [
            name
            for name, numbers in _wanted(part)
            if name != "scratch" and self._stage_of(name, part, numbers) is None
        ]

    def _plan(
        self,
        part: _Part,
        stages: Mapping[int, Stage],
        context: Context,
        find: Callable[[str], Base],
    ) -> Stage:
        def origin(step: Instruction, name: str, numbers: bool = True) -> Stage | Base:
            other = self._stage_of(name, part, numbers)
            if other is not None and other.number in stages:
                return stages[other.number]
            if other is not None:
                raise step.error(f'ONBUILD of a base cannot copy from the stage "{name:.80}"')
            try:
                return find(name)
            except BranchpointError as error:
                raise _located(step, error) from error

        base = None if part.base == "scratch" else origin(part.start, part.base, numbers=False)
        stage = Stage(base, ImageConfig() if base is None else base.config)
        if isinstance(base, Stage):
            stage.arguments = dict(base.arguments)
        _StagePlan(stage, context, self._given, self._globals, origin).read(part)
        return stage


def _wanted(part: _Part) -> list[tuple[str, bool]]:
    """What a stage begins with and copies from, and whether that may be a stage's number."""
    found = [(part.base, False)]
    for step in part.body:
        if step.keyword == "COPY" and (name := step.flag("from")):
            found.append((name, True))
        elif step.keyword == "RUN":
            found += [(name, True) for name in mounts.origins(step)]
    return found


class _StagePlan:
    """Reads the instructions of one stage."""

    def __init__(
        self,
        stage: Stage,
        context: Context,
        given: Mapping[str, str],
        globals_: Mapping[str, str],
        origin: Callable[[Instruction, str], Stage | Base],
    ) -> None:
        self.stage = stage
        self.context = context
        self.given = given
        self.globals = globals_
        self.origin = origin
        self.has_command = False

    def read(self, part: _Part) -> None:
        """Fill in the stage."""
        stage = self.stage
        triggers = stage.config.triggers
        stage.config = replace(stage.config, triggers=())
        if "PATH" not in settings.variables_of(stage.config):
            stage.config = settings.with_environment(stage.config, {"PATH": settings.PATH})
        if len(triggers) > MAX_INSTRUCTIONS:
            raise part.start.error(f"the base has more than {MAX_INSTRUCTIONS} ONBUILD")
        for text in triggers:  # of the base, as if they stood here
            try:
                for step in parse(text, part.start.file):
                    self._step(replace(step, line=part.start.line))
            except ImageError as error:
                message = f"ONBUILD {text:.80} of the base: {error.message}"
                raise part.start.error(message, error.hint) from error
        for step in part.body:
            self._step(step)
        whole: dict[str, object] = {
            "base": "" if stage.base is None else stage.base.id,
            "steps": [record(step) for _, step, _ in stage.steps],
            "config": msgspec.to_builtins(stage.config),
            "machine": workshop.fingerprint()
            if any(isinstance(step, Run) for _, step, _ in stage.steps)
            else "",
        }
        stage.id = hashlib.sha256(json.dumps(whole).encode()).hexdigest()

    @property
    def variables(self) -> dict[str, str]:
        """What a variable means now: what ENV says, else what ARG says."""
        return {**self.stage.arguments, **settings.variables_of(self.stage.config)}

    def _step(self, step: Instruction) -> None:
        stage = self.stage
        if step.keyword == "ARG":
            for key, value in pairs(step, step.text, bare=True):
                self._argument(step, key, value)
        elif step.keyword == "WORKDIR":
            path = expand(step, step.text, self.variables)
            stage.config = replace(
                stage.config,
                working_dir=settings.within(stage.config, f"{path}/").rstrip("/") or "/",
            )
            made = Directory(stage.config.working_dir, stage.config.user)
            stage.steps.append((step, made, []))
        elif step.keyword == "RUN":
            self._run(step)
        elif step.keyword in ("COPY", "ADD"):
            source = step.flag("from") if step.keyword == "COPY" else None
            if source is None:
                copy = reading.copy(step, stage.config, self.variables, self.context, "")
                stage.steps.append((step, copy, [self.context]))
            else:
                other = self._other(step, source)
                copy = reading.copy(step, stage.config, self.variables, None, other.id)
                stage.steps.append((step, copy, [other]))
        else:
            if step.keyword not in settings.KEYWORDS:
                raise step.error(f"{step.keyword} is not possible here")
            stage.config = settings.changed(stage.config, step, self.variables, self.has_command)
            self.has_command |= step.keyword == "CMD"

    def _run(self, step: Instruction) -> None:
        stage = self.stage
        job = reading.job(step, stage.config, stage.arguments)
        wanted = mounts.read(step, stage.config)
        bound = tuple(mount for mount in wanted if isinstance(mount, Bound))
        scratch = tuple(mount for mount in wanted if isinstance(mount, Scratch))
        sources: list[Stage | Base | Context] = []
        content = []
        for mount in bound:
            if mount.origin is None:
                found = self.context.find(step, mount.source)
                content.append("\0".join(each.digest() for each in found))
                sources.append(self.context)
            else:
                other = self._other(step, mount.origin)
                content.append(other.id)
                sources.append(other)
        run = Run(replace(job, scratch=scratch), bound, tuple(content))
        stage.steps.append((step, run, sources))

    def _other(self, step: Instruction, source: str) -> Stage | Base:
        if "$" in source:
            hint = f"before this stage, write FROM {source} AS NAME"
            raise step.error("--from cannot be a variable", hint)
        return self.origin(step, source)

    def _argument(self, step: Instruction, key: str, value: str | None) -> None:
        """ARG: what the user gives, else its default, else what an ARG before FROM says."""
        if key in self.given:
            self.stage.arguments[key] = self.given[key]
        elif value is not None:
            self.stage.arguments[key] = expand(step, value, self.variables)
        elif key in self.globals:
            self.stage.arguments[key] = self.globals[key]
