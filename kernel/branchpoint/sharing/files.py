"""Files for others: complete, or not there at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from branchpoint.store import disk


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[BinaryIO]:
    """A new file that gets its name when it is complete and on the disk."""
    with disk.explained(f"{target} cannot be written"):
        fd, unfinished = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        try:
            with os.fdopen(fd, "w+b") as file:
                yield file
                file.flush()
                os.fchmod(fd, 0o666 & ~_umask())
                os.fsync(fd)
            Path(unfinished).replace(target)
        except BaseException:
            Path(unfinished).unlink()
            raise


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
