"""Files of JSON whose first field is a digest of every byte after it.

People can read them, and any damage is noticed before their content is used.
"""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec
from blake3 import blake3
from msgspec import Struct

from branchpoint.decoding import Malformed, from_json

_HEAD = b'{"blake3": "'
_START = len(_HEAD) + 64  # where the digested bytes begin
_END = b"}\n"

T = TypeVar("T", bound=Struct)


class NewerFormat(ValueError):
    """The file is intact, but its format is newer than this version knows."""


class Sealed(Generic[T]):
    """One kind of such files: the field ``name`` has the content, a ``kind`` of format ``format``.

    The content itself has a field ``format``, which is checked before the rest.
    """

    def __init__(self, name: str, kind: type[T], format: int) -> None:
        self._middle = f'",\n"{name}": '.encode()
        self._kind = kind
        self._format = format

    def encode(self, content: T) -> bytes:
        """The bytes of the file."""
        body = msgspec.json.format(msgspec.json.encode(content), indent=1)
        rest = self._middle + body + _END
        return _HEAD + blake3(rest).hexdigest().encode() + rest

    def decode(self, data: bytes) -> T:
        """Read what :meth:`encode` wrote.

        :raises NewerFormat: when a newer version wrote it.
        :raises ValueError: when it is not such a file. The message of both errors is the end of a
            sentence that begins with the file's name.
        """
        rest, digest = data[_START:], data[len(_HEAD) : _START]
        known = data.startswith(_HEAD) and rest.startswith(self._middle) and rest.endswith(_END)
        if not known:
            raise ValueError("is cut off or is a different file")
        if blake3(rest).hexdigest().encode() != digest:
            raise ValueError("is damaged: its content does not match its digest")
        body = rest[len(self._middle) : -len(_END)]
        try:
            version = from_json(body, _Version).format
            if version > self._format:
                raise NewerFormat(
                    f"was written by a newer Branchpoint (format {version}, known: {self._format})"
                )
            return from_json(body, self._kind)
        except Malformed as problem:
            raise ValueError(f"has invalid content: {problem}") from None


class _Version(Struct):
    format: int = 0
