"""How recordings and processes look in a notebook.

Everything here is static HTML without script, style sheet, wall-clock time or address, at most
some tens of kB: it reads the same without a kernel, and again the same after a re-run.
"""

from __future__ import annotations

from html import escape
from typing import Any

import branchpoint as bp
from branchpoint.timeline.clock import format_vtime
from branchpoint.timeline.listing import inert

_LINES = 60  # of a process' output that are shown from its start, and as many from its end
_WIDTH = 240  # characters of such a line
_CONTAINERS = 50  # rows in a table of containers


def install(shell: Any) -> None:
    """Show our objects by the functions below."""
    html = shell.display_formatter.formatters["text/html"]
    html.for_type(bp.Recording, recording_html)
    html.for_type(bp.Process, process_html)


def table(head: list[str], rows: list[list[str]]) -> str:
    """A plain table; every cell is escaped."""

    def line(tag: str, cells: list[str]) -> str:
        inside = "".join(f"<{tag}>{escape(cell, quote=False)}</{tag}>" for cell in cells)
        return f"<tr style='text-align:left'>{inside}</tr>"

    body = "".join(line("td", row) for row in rows)
    return f"<table><thead>{line('th', head)}</thead><tbody>{body}</tbody></table>"


def recording_html(run: Any) -> str:
    """What was recorded, how long, why it ended, and its containers."""
    manifest = run.manifest
    facts = [
        f"{format_vtime(manifest.end - manifest.origin)} s of virtual time",
        f"seed {manifest.seed}",
        f"ended: {manifest.ended}" if manifest.ended else "",
    ]
    head = f"<b>{escape(inert(manifest.title or 'Recording', _WIDTH))}</b>"
    containers = [
        [c.name, c.service, inert(c.image, _WIDTH), c.address]
        for c in manifest.containers[:_CONTAINERS]
    ]
    more = len(manifest.containers) - len(containers)
    foot = f"<p>… and {more} more containers</p>" if more > 0 else ""
    text = escape(inert(" · ".join(fact for fact in facts if fact), _WIDTH))
    return (
        f"<p>{head} · {text}</p>"
        f"{table(['container', 'service', 'image', 'address'], containers)}{foot}"
    )


def process_html(process: Any) -> str:
    """The command, how it ended, and the beginning and the end of its output."""
    state = "running" if process.exit_code is None else f"exit code {process.exit_code}"
    where = process.container or "guest"
    command = escape(inert(process.command.strip(), _WIDTH), quote=False)
    return (
        f"<p><code>{command}</code> · {escape(where, quote=False)} · {state}</p>"
        f"{output_html(process.output)}"
    )


def output_html(output: str) -> str:
    """Lines as they were written, control characters made visible; the middle may be left out."""
    lines = output.split("\n")
    if lines[-1] == "":
        del lines[-1]
    left_out = len(lines) - 2 * _LINES
    shown = [inert(line.replace("\t", "        "), _WIDTH) for line in lines[: 2 * _LINES]]
    if left_out > 0:
        tail = [inert(line.replace("\t", "        "), _WIDTH) for line in lines[-_LINES:]]
        shown = [*shown[:_LINES], f"… {left_out} lines are not shown: they are in .output", *tail]
    return f"<pre>{escape(chr(10).join(shown), quote=False)}</pre>" if shown else ""
