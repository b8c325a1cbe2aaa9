"""The parts of a page that needs nothing: no script, no network, no other file.

What programs under test wrote is only shown: every text is escaped, and the page itself forbids
browsers to run or to load anything.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from html import escape

from branchpoint.events import listing

WIDTH = 400
"""Characters of a line."""
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_STYLE = """\
:root { color-scheme: light dark }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: .5rem 0 1.5rem }
th, td { text-align: left; vertical-align: top; padding: .1rem .8rem .1rem 0 }
td.num { text-align: right; font-variant-numeric: tabular-nums }
td code { white-space: pre-wrap; overflow-wrap: anywhere }
tr.here { background: #e9dcc3; color: #000 }
img { max-width: 100%; height: auto; background: #fff }
@media (prefers-color-scheme: dark) { img { filter: invert(.93) hue-rotate(180deg) } }
h2 { margin-top: 2.5rem }"""

Row = tuple[str, ...]


def page(title: str, kind: str, parts: Iterable[str]) -> str:
    """A whole page; ``kind`` says what ``title`` is a name of."""
    shown = text(title)
    head = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width">',
        f"<title>{shown}: {kind}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{shown}</h1>",
    ]
    return "\n".join([*head, *parts, "</body></html>"]) + "\n"


def text(given: str, width: int = WIDTH) -> str:
    """At most ``width`` characters of an untrusted text, safe to show."""
    return escape(listing.inert(given, width))


def table(titles: Row, rows: Iterable[Row], here: int = -1, code: int = -1) -> str:
    """A table; row number ``here`` is marked, column number ``code`` is shown verbatim."""
    head = "".join(f"<th>{escape(title)}</th>" for title in titles)
    lines = []
    for number, row in enumerate(rows):
        cells = "".join(
            f"<td><code>{text(cell)}</code></td>" if column == code else f"<td>{text(cell)}</td>"
            for column, cell in enumerate(row)
        )
        mark = ' class="here"' if number == here else ""
        lines.append(f"<tr{mark}>{cells}</tr>")
    body = "\n".join(lines)
    return f"<table><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table>"


def image(png: bytes, what: str) -> str:
    """A picture; ``what`` describes it for those who cannot see it."""
    return (
        f'<p><img alt="{escape(what)}" src="data:image/png;base64,{b64encode(png).decode()}"></p>'
    )
