"""Removes addresses of this process from results, so that a cell shows the same in every run.

``<object object at 0x7f2a4c1b80d0>`` becomes ``<object object>``. Printed text is not changed, and
neither are addresses inside the guest, which are the same in every run.
"""

from __future__ import annotations

import re
from typing import Any

_AT = r" at 0x[0-9a-f]{8,16}(?=[ >])"
# A name without an address matches as well: to look for one from each < would take long.
_OBJECT = re.compile(rf"(<(?:(?!{_AT})[\w.<>:' -])+)(?:{_AT})?")


def strip(text: str) -> str:
    """``text`` without the addresses of Python objects."""
    return _OBJECT.sub(r"\1", text)


def install(shell: Any) -> None:
    """Show the results of cells in this shell without addresses."""
    formatter = shell.display_formatter
    whole = formatter.format

    def without(*args: Any, **kwargs: Any) -> Any:
        data, metadata = whole(*args, **kwargs)
        if isinstance(data.get("text/plain"), str):
            data["text/plain"] = strip(data["text/plain"])
        return data, metadata

    formatter.format = without
