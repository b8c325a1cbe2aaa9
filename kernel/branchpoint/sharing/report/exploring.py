"""An exploration as one HTML page, and as the XML that CI systems read."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from math import ceil
from xml.etree import ElementTree

from matplotlib.axes import Axes

from branchpoint.clock import SECOND, format_vtime
from branchpoint.events.listing import inert
from branchpoint.futures import plot
from branchpoint.search.changes import Changed
from branchpoint.search.code import EDGES
from branchpoint.search.exploration import Exploration, Finding
from branchpoint.search.findability import LEVEL, findability
from branchpoint.sharing.report.html import WIDTH, Row, image, page, table, text

_SHOWN = 500  # findings, and things seen
_FILES, _NAMES = 60, 2  # files of which code ran, and containers that may have run it
_WIDE, _HIGH = 8.6, 2.2  # inches
_INK, _CODE = "#16324f", "#2e7d4f"
_STALE = 0.5  # share of the stretches without anything new, from which on that is said


def report(found: Exploration, changed: Sequence[Changed] | None = None) -> str:
    """The page: what was run, what was found, how much was new and when, and all that was seen.

    Also what has ``changed`` since an earlier exploration, if it was compared with one.
    """
    parts = [
        f"<p>An exploration of {text(found.head.title)} with Branchpoint: its futures were "
        "searched for failures, in short stretches of time. Times are virtual seconds since all "
        "containers were up.</p>",
        table((), _facts(found)),
        "<h2>Findings</h2>",
        _findings(found),
        *(_changes(changed) if changed is not None else []),
        *_assertions(found),
        "<h2>What was looked for</h2>",
        table(("failure", "findings", "stretches that ended with it"), _looked_for(found)),
        "<h2>What was new, and when</h2>",
        image(_novelty(found), "number of different things seen against the number of stretches"),
        f"<p>{_advice(found)}</p>",
        *_code(found),
        "<h2>What was seen</h2>",
        _seen(found),
    ]
    return page(found.head.title, "an exploration", parts)


def junit(found: Exploration) -> str:
    """A test case for each failure that was looked for and each assertion of a program.

    What was found or violated has failed; an assertion that was never met is skipped.
    """
    findings = found.findings
    names = [name for name, _ in found.head.failures]
    suite = ElementTree.Element("testsuite", name=_plain(found.head.title))
    for name in names:
        case = ElementTree.SubElement(
            suite, "testcase", classname=_plain(found.head.title), name=_plain(name)
        )
        mine = [finding for finding in findings if finding.failure == name]
        if mine:
            failure = ElementTree.SubElement(case, "failure", message=_plain(mine[0].kind))
            lines = []
            for finding in mine:
                told = found.triage(finding.number)
                lines += [str(finding), *(told.lines if told is not None else [])]
            failure.text = "\n".join(map(_plain, lines))
    for each in found.assertions:
        case = ElementTree.SubElement(
            suite, "testcase", classname=_plain(each.kind), name=_plain(each.message)
        )
        if each.status == "violated":
            ElementTree.SubElement(case, "failure", message=f"violated in {each.where}")
        elif each.status == "not met":
            words = f"not met in {len(found.tree)} stretches"
            ElementTree.SubElement(case, "skipped", message=words)
    cases = suite.findall("testcase")
    suite.set("tests", str(len(cases)))
    suite.set("failures", str(sum(case.find("failure") is not None for case in cases)))
    suite.set("skipped", str(sum(case.find("skipped") is not None for case in cases)))
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _plain(given: str) -> str:
    return inert(given, WIDTH)


def _facts(found: Exploration) -> list[Row]:
    tree, head = found.tree, found.head
    return [
        ("findings", str(len(found.findings))),
        ("violated assertions", str(len(found.violated))),
        ("stretches", f"{len(tree)}, of at most {head.length / SECOND:g} virtual s each"),
        ("virtual time", f"{tree.virtual / SECOND:.1f} s in all, continued up to "
                         f"{head.depth / SECOND:g} s after set-up"),
        ("different things seen", str(len(tree.signs))),
        ("places of code that ran", f"{len(tree.code)}{_untold(found)}"),
        ("looked at", ", ".join(head.signals)),
        ("seed", str(head.seed)),
        *(("warning", damage) for damage in found.damage),
    ]  # fmt: skip


def _untold(found: Exploration) -> str:
    return ", and more than can be told apart" * any(node.untold for node in found.tree.nodes)


def _findings(found: Exploration) -> str:
    findings = found.findings
    if not findings:
        if found.violated:
            return "<p>No failure was found, but assertions are violated: see below.</p>"
        return "<p>Nothing was found.</p>"
    titles = (
        "number", "failure", "event", "times", "first at (s)", "first in stretch", "led to by",
        "clean runs", "open it",
    )  # fmt: skip
    more = len(findings) - _SHOWN
    left = f"<p>… and {more} more</p>" if more > 0 else ""
    words = (
        "<p>Clean runs: if so many explorations of the same length find nothing, it is "
        f"{LEVEL * 100:.0f} % sure that the failure is gone, as it would come as often as here.</p>"
    )
    rows = [_row(found, each) for each in findings[:_SHOWN]]
    told = "".join(_triage(found, each) for each in findings[:_SHOWN])
    return table(titles, rows, code=8) + left + words + told


def _triage(found: Exploration, finding: Finding) -> str:
    told = found.triage(finding.number)
    if told is None:
        return ""
    lines = "\n".join(map(text, told.evidence))
    title = f"Finding {finding.number}: {text(finding.failure)}, {text(finding.kind)}"
    words = f"<p>{text(told.words)}</p>" if told.words else ""
    return f"<h3>{title}</h3>{words}<pre>{lines}</pre>"


def _row(found: Exploration, finding: Finding) -> Row:
    first = finding.nodes[0]
    command = f"branchpoint open {found.path.name} --finding {finding.number}"
    at = format_vtime(round(finding.vtime * SECOND))
    return (
        str(finding.number), finding.failure, finding.kind, str(len(finding.nodes)), at,
        str(first), ", ".join(finding.led_by) or "chance alone",
        str(findability(len(finding.nodes)).clean), command,
    )  # fmt: skip


def _changes(changed: Sequence[Changed]) -> list[str]:
    rows: list[Row] = [
        (each.change, each.failure, each.kind, str(each.before), str(each.now), _sure(each))
        for each in changed[:_SHOWN]
    ]
    title = "<h2>Since the earlier exploration</h2>"
    if not rows:
        return [title, "<p>Neither has found anything.</p>"]
    titles = ("change", "failure", "event", "times before", "times now", "how sure")
    return [title, table(titles, rows)]


def _sure(changed: Changed) -> str:
    if changed.missed is None:
        return ""
    tenths = ceil(changed.missed * 1000) / 10  # at most is at most
    most = "under 0.1 %" if changed.missed < 0.001 else f"at most {tenths:g} %"
    return f"if it is still there, this exploration misses it in {most}"


def _assertions(found: Exploration) -> list[str]:
    judged = found.assertions
    if not judged:
        return []
    order = ["violated", "not met", "holds"]
    judged = sorted(judged, key=lambda each: order.index(each.status))
    rows: list[Row] = [
        (
            each.status, each.message, each.kind, str(each.true), str(each.false),
            _stretch(each.example), _stretch(each.counterexample),
        )
        for each in judged[:_SHOWN]
    ]  # fmt: skip
    titles = ("status", "assertion", "kind", "true in", "false in", "example", "counterexample")
    more = len(judged) - _SHOWN
    left = f"<p>… and {more} more</p>" if more > 0 else ""
    words = (
        "<p>Judged over all stretches. The numbers are of stretches; those of examples can be "
        "opened in Python: <code>bp.Exploration(…).branch(number).end</code>.</p>"
    )
    return ["<h2>Assertions of programs, and test commands</h2>", table(titles, rows), left, words]


def _stretch(number: int | None) -> str:
    return "" if number is None else str(number) if number else "set-up"


def _looked_for(found: Exploration) -> list[Row]:
    findings = found.findings
    rows: list[Row] = []
    for name, _ in found.head.failures:
        mine = [finding for finding in findings if finding.failure == name]
        rows.append((name, str(len(mine)), str(sum(len(finding.nodes) for finding in mine))))
    return rows


def _novelty(found: Exploration) -> bytes:
    nodes = found.tree.nodes
    figure = plot.blank(_WIDE, _HIGH)
    ax = figure.add_axes((0.07, 0.2, 0.83, 0.75))
    _steps(ax, [len(node.fresh) for node in nodes], _INK, "different things seen")
    for finding in found.findings[:_SHOWN]:
        ax.axvline(finding.nodes[0], color="#b3261e", linewidth=0.8, linestyle=(0, (4, 3)))
    ax.set_xlim(0, max(len(nodes), 1))
    ax.set_xlabel("stretches (dashed: first of a finding)", fontsize=8)
    ax.spines[["top", "right"]].set_visible(False)
    if {"code", "python"} & set(found.head.signals):
        right = ax.twinx()
        _steps(right, [len(node.fresh_code) for node in nodes], _CODE, "places of code")
        right.spines[["top", "left"]].set_visible(False)
    return plot.saved(figure)


def _steps(ax: Axes, new: list[int], color: str, title: str) -> None:
    """How many there were after each stretch."""
    counts = list(accumulate(new, initial=0))
    ax.step(range(len(counts)), counts, where="post", color=color, linewidth=1.2)
    ax.set_ylim(0, max(counts[-1] * 1.05, 1))
    ax.set_ylabel(title, fontsize=8, color=color)
    ax.tick_params(labelsize=8, length=2)


def _advice(found: Exploration) -> str:
    tree = found.tree
    last = max((node.number for node in tree.nodes if node.new), default=0)
    if not len(tree):
        return "No stretch has been run."
    if not last:
        if {"lines", "events"} <= set(found.head.signals):
            return "Nothing was seen: the system says nothing, and nothing happens in it."
        looked = ", ".join(found.head.signals) or "nothing"
        return f"Nothing was seen, but only this was looked at: {looked}."
    since = len(tree) - last
    words = f"The last new thing was seen in stretch {last} of {len(tree)}."
    if since > _STALE * len(tree):
        return f"{words} More time may show little: add faults or load, or let programs say more."
    return f"{words} More time is likely to show more."


def _some(containers: list[str]) -> str:
    more = len(containers) - _NAMES
    return ", ".join(containers[:_NAMES]) + (f" and {more} more" if more > 0 else "")


def _code(found: Exploration) -> list[str]:
    if not len(found.tree.code):
        return []
    title, files = "<h2>Code that ran</h2>", found.files_ran()
    if files is None:
        return [title, "<p>The system's image is not on this computer: files are not known.</p>"]
    rows: list[Row] = [
        (_some(each.containers), each.path, str(each.places)) for each in files[:_FILES]
    ]
    more = len(files) - _FILES
    left = f"<p>… and {more} more files</p>" if more > 0 else ""
    words = "<p>Places are branches of machine code that were executed, and where they led; of "
    words += "Python programs, lines.</p>"
    if edges := sum(place >= EDGES for place in found.tree.code.places):
        words += f"<p>{edges} other places are edges of which programs told.</p>"
    return [title, words, table(("containers with this image", "file", "places"), rows), left]


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
