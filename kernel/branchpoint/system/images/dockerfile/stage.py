"""One stage of a Dockerfile, ready to be built: what it begins with, and what is done to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from branchpoint.errors import BranchpointError, ImageError
from branchpoint.guest.tree import Tree
from branchpoint.system.images.archive import ImageConfig
from branchpoint.system.images.dockerfile.context import Context
from branchpoint.system.images.dockerfile.steps import Step
from branchpoint.system.images.dockerfile.syntax import Instruction


class Base(Protocol):
    """An image that a stage begins with, or copies from."""

    @property
    def id(self) -> str: ...

    @property
    def config(self) -> ImageConfig: ...

    @property
    def unpack(self) -> Callable[[], Tree]: ...


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
                raise located(instruction, error) from error
        return tree


def _tree(origin: Stage | Base, known: dict[str, Tree]) -> Tree:
    """The files of a stage or an image, made once in a build."""
    if origin.id not in known:
        known[origin.id] = origin.build(known) if isinstance(origin, Stage) else origin.unpack()
    return known[origin.id]


def located(instruction: Instruction, error: BranchpointError) -> ImageError:
    """The error with file and line of the instruction in front, if it has none."""
    where = f"{instruction.file}:"
    if error.message.startswith(where):
        return ImageError(error.message, error.hint)
    return instruction.error(error.message, error.hint)
