"""What a build is given besides its context: named contexts, and secrets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from branchpoint.errors import ImageError
from branchpoint.system.images.dockerfile.context import Context
from branchpoint.system.images.dockerfile.stage import Base
from branchpoint.system.model import Build, BuildSecret

_LARGEST = 500 << 10  # bytes of a secret, as docker has it


@dataclass(frozen=True)
class Given:
    """``find`` gives the image of a name. A name in ``contexts`` means that and no stage or image:
    a directory, which begins with a slash, or another name of an image.
    """

    find: Callable[[str], Base]
    contexts: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, BuildSecret] = field(default_factory=dict)

    @classmethod
    def of(cls, build: Build, find: Callable[[str], Base]) -> Given:
        """What a compose file says."""
        return cls(find, build.contexts, {each.name: each for each in build.secrets})

    def named(self, name: str) -> Base | Context | None:
        """What a name of a context means; None when it is none."""
        written = self.contexts.get(name)
        if written is None:
            return None
        return Context(Path(written), None) if written.startswith("/") else self.find(written)

    def secret(self, name: str) -> bytes | None:
        """The content of a secret; None when there is none of this name.

        :raises ImageError: when it cannot be read, or is larger than 500 KiB.
        """
        secret = self.secrets.get(name)
        if secret is None:
            return None
        if secret.text is not None:
            return secret.text.encode("utf-8", "surrogateescape")
        assert secret.source is not None
        try:
            with Path(secret.source).open("rb") as file:
                content = file.read(_LARGEST + 1)
        except OSError as error:
            raise ImageError(f"{secret.source} cannot be read: {error.strerror}") from None
        if len(content) > _LARGEST:
            raise ImageError(
                f"{secret.source} is larger than {_LARGEST >> 10} KiB",
                "mount it by --mount=type=bind, from the context or an additional one",
            )
        return content
