"""An exploration as one HTML page, and as the XML that CI systems read."""

from __future__ import annotations

from itertools import accumulate
from xml.etree import ElementTree

from branchpoint.clock import SECOND, format_vtime
from branchpoint.events.listing import inert
from branchpoint.futures import plot
from branchpoint.search.exploration import Exploration, Finding
from branchpoint.sharing.report.html import WIDTH, Row, image, page, table, text

_SHOWN = 500  # findings, and things seen
_WIDE, _HIGH = 8.6, 2.2  # inches
_INK = "#16324f"
_STALE = 0.5  # share of the stretches without anything new, from which on that is said


def report(found: Exploration) -> str:
    """The page: what was run, what was found, how much was new and when, and all that was seen."""
    parts = [
        f"<p>An exploration of {text(found.head.title)} with Branchpoint: its futures were "
        "searched for failures, in short stretches of time. Times are virtual seconds since all "
        "containers were up.</p>",
        table((), _facts(found)),
        "<h2>Findings</h2>",
        _findings(found),
        "<h2>What was looked for</h2>",
        table(("failure", "findings", "stretches that ended with it"), _looked_for(found)),
        "<h2>What was new, and when</h2>",
        image(_novelty(found), "number of different things seen against the number of stretches"),
        f"<p>{_advice(found)}</p>",
        "<h2>What was seen</h2>",
        _seen(found),
    ]
    return page(found.head.title, "an exploration", parts)


def junit(found: Exploration) -> str:
    """A test case for each failure that was looked for; those that were found have failed."""
    findings = found.findings
    names = [name for name, _ in found.head.failures]
    suite = ElementTree.Element(
        "testsuite", name=_plain(found.head.title), tests=str(len(names)),
        failures=str(len({finding.failure for finding in findings})),
    )  # fmt: skip
    for name in names:
        case = ElementTree.SubElement(
            suite, "testcase", classname=_plain(found.head.title), name=_plain(name)
        )
        mine = [finding for finding in findings if finding.failure == name]
        if mine:
            failure = ElementTree.SubElement(case, "failure", message=_plain(mine[0].kind))
            failure.text = "\n".join(_plain(str(finding)) for finding in mine)
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _plain(given: str) -> str:
    return inert(given, WIDTH)


def _facts(found: Exploration) -> list[Row]:
    tree, head = found.tree, found.head
    return [
        ("findings", str(len(found.findings))),
        ("stretches", f"{len(tree)}, of at most {head.length / SECOND:g} virtual s each"),
        ("virtual time", f"{tree.virtual / SECOND:.1f} s in all, at most "
                         f"{head.depth / SECOND:g} s after set-up"),
        ("different things seen", str(len(tree.signs))),
        ("seed", str(head.seed)),
        *(("warning", damage) for damage in found.damage),
    ]  # fmt: skip


def _findings(found: Exploration) -> str:
    findings = found.findings
    if not findings:
        return "<p>Nothing was found.</p>"
    titles = ("number", "failure", "event", "times", "first at (s)", "first in stretch", "open it")
    more = len(findings) - _SHOWN
    left = f"<p>… and {more} more</p>" if more > 0 else ""
    return table(titles, [_row(found, each) for each in findings[:_SHOWN]], code=6) + left


def _row(found: Exploration, finding: Finding) -> Row:
    first = finding.nodes[0]
    command = f"branchpoint open {found.path.name} --finding {finding.number}"
    at = format_vtime(round(finding.vtime * SECOND))
    return (
        str(finding.number), finding.failure, finding.kind, str(len(finding.nodes)), at,
        str(first), command,
    )  # fmt: skip


def _looked_for(found: Exploration) -> list[Row]:
    findings = found.findings
    rows: list[Row] = []
    for name, _ in found.head.failures:
        mine = [finding for finding in findings if finding.failure == name]
        rows.append((name, str(len(mine)), str(sum(len(finding.nodes) for finding in mine))))
    return rows


def _novelty(found: Exploration) -> bytes:
    counts = list(accumulate((len(node.fresh) for node in found.tree.nodes), initial=0))
    figure = plot.blank(_WIDE, _HIGH)
    ax = figure.add_axes((0.07, 0.2, 0.91, 0.75))
    ax.step(range(len(counts)), counts, where="post", color=_INK, linewidth=1.2)
    for finding in found.findings[:_SHOWN]:
        ax.axvline(finding.nodes[0], color="#b3261e", linewidth=0.8, linestyle=(0, (4, 3)))
    ax.set_xlim(0, max(len(counts) - 1, 1))
    ax.set_ylim(0, max(counts[-1] * 1.05, 1))
    ax.set_xlabel("stretches (dashed: first of a finding)", fontsize=8)
    ax.set_ylabel("different things seen", fontsize=8)
    ax.tick_params(labelsize=8, length=2)
    ax.spines[["top", "right"]].set_visible(False)
    return plot.saved(figure)


def _advice(found: Exploration) -> str:
    tree = found.tree
    last = max((node.number for node in tree.nodes if node.fresh), default=0)
    if not last:
        return "Nothing was seen: the system says nothing, and nothing happens in it."
    since = len(tree) - last
    words = f"The last new thing was seen in stretch {last} of {len(tree)}."
    if since > _STALE * len(tree):
        return f"{words} More time may show little: add faults or load, or let programs say more."
    return f"{words} More time is likely to show more."


def _seen(found: Exploration) -> str:
    tree = found.tree
    first = {number: node.number for node in reversed(tree.nodes) for number in node.seen}
    counts = [0] * len(tree.signs)
    for node in tree.nodes:
        for number in node.seen:
            counts[number] += 1
    rows = [
        (str(first[number]), str(counts[number]), sign)
        for number, sign in enumerate(tree.signs[:_SHOWN])
    ]
    more = len(tree.signs) - _SHOWN
    left = f"<p>… and {more} more</p>" if more > 0 else ""
    return table(("first in stretch", "stretches", "what"), rows, code=2) + left
