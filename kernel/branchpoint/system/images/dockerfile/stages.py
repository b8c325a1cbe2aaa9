"""A Dockerfile's stages: what each is made of, known before anything is built.

Variables, stages and bases are resolved as docker resolves them, so an image's configuration and
its id are known at once; only :meth:`Stage.build` needs time.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from branchpoint.errors import BranchpointError, ImageError
from branchpoint.system.images.archive import ImageConfig
from branchpoint.system.images.dockerfile import mounts
from branchpoint.system.images.dockerfile.context import Context
from branchpoint.system.images.dockerfile.given import Given
from branchpoint.system.images.dockerfile.planning import StagePlan
from branchpoint.system.images.dockerfile.stage import Base, Stage, located
from branchpoint.system.images.dockerfile.syntax import Instruction, parse
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


@dataclass(frozen=True)
class _Part:
    """The text of one stage, with its FROM resolved."""

    number: int
    name: str
    base: str
    start: Instruction
    body: list[Instruction]


class Dockerfile:
    """A Dockerfile with its build arguments; nothing is looked up before :meth:`plan`."""

    def __init__(self, text: str, file: str, arguments: Mapping[str, str], target: str) -> None:
        """:raises ImageError: with file and line, for what is no Dockerfile."""
        self.text = text
        self._given = arguments
        self._globals = dict(PLATFORM)
        self._file = file
        self._parts = self._split(parse(text, file))
        self._target = self._aimed(target)

    def names(self, contexts: Collection[str] = ()) -> list[str]:
        """The images and ``contexts`` that the wanted stage needs, as they are written in FROM and
        COPY --from.
        """
        needed = self._needed(contexts)
        found = {name: None for part in needed for name in self._images(part, contexts)}
        return list(found)

    def plan(self, context: Context, given: Given) -> Stage:
        """The wanted stage.

        :raises ImageError: with file and line, for whatever cannot be done as written.
        """
        stages: dict[int, Stage] = {}
        for part in self._needed(given.contexts):
            stages[part.number] = self._plan(part, stages, context, given)
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

    def _needed(self, contexts: Collection[str]) -> list[_Part]:
        """The wanted stage and all that it is made of, in their order."""
        pending, needed = [self._target], {self._target.number}
        while pending:
            part = pending.pop()
            for name, numbers in _wanted(part):
                other = self._stage_of(name, part, numbers)
                if name not in contexts and other is not None and other.number not in needed:
                    needed.add(other.number)
                    pending.append(other)
        return [self._parts[number] for number in sorted(needed)]

    def _images(self, part: _Part, contexts: Collection[str]) -> list[str]:
        return [
            name
            for name, numbers in _wanted(part)
            if name in contexts
            or (name != "scratch" and self._stage_of(name, part, numbers) is None)
        ]

    def _plan(
        self,
        part: _Part,
        stages: Mapping[int, Stage],
        context: Context,
        given: Given,
    ) -> Stage:
        def origin(step: Instruction, name: str, numbers: bool = True) -> Stage | Base | Context:
            try:
                named = given.named(name)
            except BranchpointError as error:
                raise located(step, error) from error
            if named is not None:
                return named
            other = self._stage_of(name, part, numbers)
            if other is not None and other.number in stages:
                return stages[other.number]
            if other is not None:
                raise step.error(f'ONBUILD of a base cannot copy from the stage "{name:.80}"')
            try:
                return given.find(name)
            except BranchpointError as error:
                raise located(step, error) from error

        base = None if part.base == "scratch" else origin(part.start, part.base, numbers=False)
        if isinstance(base, Context):
            raise part.start.error(
                f"FROM {part.base:.80} is a directory of additional_contexts, not an image",
                f"write FROM scratch and COPY --from={part.base:.80} / /",
            )
        stage = Stage(base, ImageConfig() if base is None else base.config)
        if isinstance(base, Stage):
            stage.arguments = dict(base.arguments)
        plan = StagePlan(stage, context, self._given, self._globals, origin, given.secret)
        plan.read(part.start, part.body)
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
