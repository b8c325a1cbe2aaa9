"""Events as a data frame; small tables and pictures for notebooks, without scripts or style
sheets, so they are safe.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from branchpoint.errors import BranchpointError
from branchpoint.units import SECOND

if TYPE_CHECKING:
    import pandas as pd

    from branchpoint.events.event import EventSet

_LEFT = " style='text-align:left'"
_WIDE = " style='text-align:left;min-width:24em'"  # where there is little room, the table scrolls
_VERBATIM = " style='white-space:pre-wrap;background:none;padding:0'"
_PLAIN = " style='background:none'"  # a text of many lines is many rows: no stripes


def html(titles: Sequence[str], rows: Iterable[Sequence[str]], *, verbatim: str = "") -> str:
    """A table of texts. The column titled ``verbatim`` keeps its blanks and has a fixed-width
    font; its long lines are wrapped."""
    head = "".join(f"<th{_LEFT}>{escape(title)}</th>" for title in titles)
    body = "".join(
        f"<tr{_PLAIN if verbatim else ''}>"
        + "".join(
            f"<td{_WIDE if title == verbatim else _LEFT}>{_cell(cell, title == verbatim)}</td>"
            for title, cell in zip(titles, row, strict=True)
        )
        + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(text: str, verbatim: bool) -> str:
    inert = escape(text, quote=False)
    return f"<code{_VERBATIM}>{inert}</code>" if verbatim else inert


def image(png: bytes, words: str, width: int) -> str:
    """A picture, ``width`` pixels wide; ``words`` describe it for those who cannot see it."""
    data = b64encode(png).decode()
    return f'<img alt="{escape(words)}" width="{width}" src="data:image/png;base64,{data}">'


def note(text: str) -> str:
    """A line below a table."""
    return f"<p><small>{escape(text)}</small></p>"


def frame(events: EventSet, fields: Sequence[str]) -> pd.DataFrame:
    """See :meth:`EventSet.frame`."""
    import pandas as pd

    columns, positions = events.columns, events.positions
    names, texts = np.array(columns.names.known, object), columns.texts
    table = [dict(columns.fields.get(p, {})) for p in positions.tolist()]
    data: dict[str, Any] = {
        "vtime": (columns.at[positions] - events.origin) / SECOND,
        "source": names[columns.source[positions]],
        "container": names[columns.container[positions]],
        "stream": names[columns.stream[positions]],
        "text": [texts[p] for p in positions.tolist()],
        "type": names[columns.type[positions]],
        "fields": table,
    }
    for name in fields:
        if name in data:
            raise BranchpointError(f"there is already a column {name!r}")
        data[name] = [row.get(name, "") for row in table]
    return pd.DataFrame(data)
