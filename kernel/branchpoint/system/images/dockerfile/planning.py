"""The instructions of one stage -> its steps, its configuration and its id."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace

import msgspec

from branchpoint.errors import ImageError
from branchpoint.guest import workshop
from branchpoint.system.images.dockerfile import mounts, reading, settings
from branchpoint.system.images.dockerfile.context import Context
from branchpoint.system.images.dockerfile.mounts import Bound, Scratch, Secret
from branchpoint.system.images.dockerfile.stage import Base, Stage
from branchpoint.system.images.dockerfile.steps import Directory, Run, record
from branchpoint.system.images.dockerfile.syntax import MAX_INSTRUCTIONS, Instruction, parse
from branchpoint.system.images.dockerfile.words import expand, pairs


class StagePlan:
    """Reads the instructions of one stage."""

    def __init__(
        self,
        stage: Stage,
        context: Context,
        given: Mapping[str, str],
        globals_: Mapping[str, str],
        origin: Callable[[Instruction, str], Stage | Base | Context],
        secret: Callable[[str], bytes | None],
    ) -> None:
        self.stage = stage
        self.context = context
        self.given = given
        self.globals = globals_
        self.origin = origin
        self.secret = secret
        self.has_command = False

    def read(self, start: Instruction, body: list[Instruction]) -> None:
        """Fill in the stage, whose FROM is ``start``.

        :raises ImageError: with file and line, for whatever cannot be done as written.
        """
        stage = self.stage
        triggers = stage.config.triggers
        stage.config = replace(stage.config, triggers=())
        if "PATH" not in settings.variables_of(stage.config):
            stage.config = settings.with_environment(stage.config, {"PATH": settings.PATH})
        if len(triggers) > MAX_INSTRUCTIONS:
            raise start.error(f"the base has more than {MAX_INSTRUCTIONS} ONBUILD")
        for text in triggers:  # of the base, as if they stood here
            try:
                for step in parse(text, start.file):
                    self._step(replace(step, line=start.line))
            except ImageError as error:
                message = f"ONBUILD {text:.80} of the base: {error.message}"
                raise start.error(message, error.hint) from error
        for step in body:
            self._step(step)
        whole: dict[str, object] = {
            "base": "" if stage.base is None else stage.base.id,
            "steps": [record(step) for _, step, _ in stage.steps],
            "config": msgspec.to_builtins(stage.config),
            "machine": workshop.fingerprint(workshop.CONTAINER)
            if any(isinstance(step, Run) for _, step, _ in stage.steps)
            else "",
        }
        stage.id = hashlib.sha256(json.dumps(whole).encode()).hexdigest()

    @property
    def variables(self) -> dict[str, str]:
        """What a variable means now: what ENV or ARG has said last."""
        return {**settings.variables_of(self.stage.config), **self.stage.arguments}

    def _step(self, step: Instruction) -> None:
        stage = self.stage
        if step.keyword == "ARG":
            for key, value in pairs(step, step.text, bare=True):
                self._argument(step, key, value)
        elif step.keyword == "WORKDIR":
            path = expand(step, step.text, self.variables)
            if not path:
                raise step.error(f"WORKDIR {step.text:.80} is empty")
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
                inside = other if isinstance(other, Context) else None
                known = "" if isinstance(other, Context) else other.id
                copy = reading.copy(step, stage.config, self.variables, inside, known)
                stage.steps.append((step, copy, [other]))
        else:
            if step.keyword not in settings.KEYWORDS:
                raise step.error(f"{step.keyword} is not possible here")
            before = settings.variables_of(stage.config)
            stage.config = settings.changed(stage.config, step, self.variables, self.has_command)
            if step.keyword == "ENV":
                after = settings.variables_of(stage.config)
                changed = {key for key in after if before.get(key) != after[key]}
                for key in changed.union(key for key, _ in pairs(step, step.text)):
                    stage.arguments.pop(key, None)
            self.has_command |= step.keyword == "CMD"

    def _run(self, step: Instruction) -> None:
        stage = self.stage
        job = reading.job(step, stage.config, self.variables)
        wanted = mounts.read(step, stage.config)
        bound = tuple(mount for mount in wanted if isinstance(mount, Bound))
        scratch = tuple(mount for mount in wanted if isinstance(mount, Scratch))
        sources: list[Stage | Base | Context] = []
        content = []
        for mount in bound:
            other = self.context if mount.origin is None else self._other(step, mount.origin)
            if isinstance(other, Context):
                found = other.find(step, mount.source)
                content.append("\0".join(each.digest() for each in found))
            else:
                content.append(other.id)
            sources.append(other)
        files = []
        for wish in wanted:
            if isinstance(wish, Secret) and (known := self._known(step, wish)) is not None:
                if wish.environment:
                    text = known.decode("utf-8", "surrogateescape")
                    variable = f"{wish.environment}={text}"
                    job = replace(job, environment=(*job.environment, variable))
                if wish.target:
                    files.append((wish, known))
        run = Run(replace(job, scratch=scratch), bound, tuple(content), tuple(files))
        stage.steps.append((step, run, sources))

    def _known(self, step: Instruction, wish: Secret) -> bytes | None:
        """The content of a secret; what nobody has given is left out, as docker does."""
        try:
            found = self.secret(wish.name)
        except ImageError as error:
            raise step.error(error.message, error.hint) from None
        if found is None and wish.required:
            raise step.error(
                f'there is no secret "{wish.name:.80}"', 'name it in "secrets" of "build"'
            )
        return found

    def _other(self, step: Instruction, source: str) -> Stage | Base | Context:
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
