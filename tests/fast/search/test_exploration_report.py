"""The report of an exploration: read without scripts, whatever the programs have written."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from explorations import add, begun
from recordings import event

from branchpoint.cli import main
from branchpoint.search.changes import Changed, changes
from branchpoint.search.exploration import BASE, Exploration
from branchpoint.sharing.report import exploring
from branchpoint.timeline.directory import RecordingFiles

EVIL = "<script>alert(1)</script>\x1b[2J & more"


def explored(path: Path, findings: int) -> Path:
    """An exploration with so many findings, and something that was seen in each stretch."""
    with begun(path) as found:
        add(found, "started", EVIL)
        for number in range(findings):
            add(found, f"exit {number}", "started", failed=f"{number} {EVIL}")
    return path


@pytest.mark.parametrize("findings", [0, 1, 500, 600])
def test_the_page_has_all_and_no_script(tmp_path: Path, findings: int) -> None:
    with Exploration(explored(tmp_path / "x.bpx", findings)) as found:
        page = exploring.report(found)
    assert "<script" not in page and "\x1b" not in page and "default-src 'none'" in page
    assert ("Nothing was found" in page) == (findings == 0)
    assert page.count("branchpoint open x.bpx --finding ") == min(findings, 500)
    assert ("… and 100 more" in page) == (findings == 600)
    assert re.search(rf"unexpected exit</td><td>{findings}</td><td>{findings}<", page)
    assert "out of memory</td><td>0</td><td>0<" in page
    assert f"The last new thing was seen in stretch {findings + 1} of {findings + 1}." in page
    assert page.count("<img alt=") == 1 and len(page) < 1_000_000


def test_that_nothing_happens_is_only_said_where_it_was_looked_at(tmp_path: Path) -> None:
    with begun(tmp_path / "a.bpx") as found:
        assert "No stretch has been run." in exploring.report(found)
        add(found)
        page = exploring.report(found)
    assert "nothing happens in it" in page and "continued up to 1 s after set-up" in page
    with begun(tmp_path / "b.bpx", signals=["assertions", "code"]) as found:
        add(found)
        page = exploring.report(found)
    assert "only this was looked at: assertions, code." in page and "nothing happens" not in page


@pytest.mark.parametrize(
    ("missed", "words"),
    [(1e-9, "in under 0.1 %"), (0.0301, "in at most 3.1 %"), (0.95, "in at most 95 %")],
)
def test_how_surely_it_would_be_missed_is_not_rounded_down(missed: float, words: str) -> None:
    assert exploring._sure(Changed("rare", "exit", "", 1, 0, missed)).endswith(words)


def test_when_nothing_new_comes_any_more_it_says_so(tmp_path: Path) -> None:
    with Exploration(explored(tmp_path / "x.bpx", 0)) as found:
        for _ in range(5):
            add(found, "started")
        page = exploring.report(found)
    assert "in stretch 1 of 6. More time may show little: add faults or load" in page


def test_assertions_of_programs_are_judged_over_all_timelines(tmp_path: Path) -> None:
    with Exploration(explored(tmp_path / "x.bpx", 0)) as found:
        for outcome in ("declared", "false", "true"):
            add(found, f"assertion sometimes {outcome}: a leader is <b>chosen</b>")
        add(found, "assertion reachable declared: the slow way", "assertion unreachable true: no")
        page, suite = exploring.report(found), ElementTree.fromstring(exploring.junit(found))
    rows = re.findall(r"<tr><td>(violated|not met|holds)</td><td>(.*?)</td>.*?</tr>", page)
    assert rows == [
        ("violated", "no"), ("not met", "the slow way"),
        ("holds", "a leader is &lt;b&gt;chosen&lt;/b&gt;"),
    ]  # fmt: skip
    assert "<td>sometimes</td><td>1</td><td>1</td><td>4</td><td>3</td>" in page
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("5", "1", "1")
    by_name = {case.get("name"): case for case in suite.findall("testcase")}
    failed, skipped = by_name["no"].find("failure"), by_name["the slow way"].find("skipped")
    assert failed is not None and failed.get("message") == "violated in stretch 5"
    assert skipped is not None and skipped.get("message") == "not met in 5 stretches"


def test_an_assertion_violated_during_set_up_is_told_everywhere(tmp_path: Path) -> None:
    """No stretch fails with it, as all of them begin later."""
    path = explored(tmp_path / "x.bpx", 0)
    violated = {"type": "always", "hit": "1", "condition": "0", "violated": "1"}
    with RecordingFiles.open(path / BASE, write=True) as files:
        files.events.add([event(9.999, "one leader", type="sdk.assert", fields=violated)])
        files.save(files.manifest)
    with Exploration(path) as found:
        assert not found.clean and not found.findings
        page, suite = exploring.report(found), ElementTree.fromstring(exploring.junit(found))
    assert "No failure was found, but assertions are violated: see below" in page
    assert "violated assertions</td><td>1<" in page and "Nothing was found" not in page
    failed = suite.find("testcase[@name='one leader']/failure")
    assert failed is not None and failed.get("message") == "violated in set-up"
    result = CliRunner().invoke(main, ["report", str(path)])
    assert result.exit_code == 1 and "Nothing was found" not in result.output
    assert "  violated in set-up: always, one leader\n" in result.output
    assert f"branchpoint open {path / BASE}" in result.output


def test_assertions_that_are_not_looked_at_are_not_judged(tmp_path: Path) -> None:
    with begun(tmp_path / "x.bpx", signals=["lines", "code"]) as found:
        add(found, "assertion sometimes declared: a leader is chosen")
        page, suite = exploring.report(found), ElementTree.fromstring(exploring.junit(found))
    assert "Assertions of programs" not in page and suite.get("tests") == "2"


def test_what_has_changed_since_an_earlier_exploration_is_told(tmp_path: Path) -> None:
    earlier, later = explored(tmp_path / "a.bpx", 1), explored(tmp_path / "b.bpx", 0)
    with Exploration(later) as now, Exploration(earlier) as before:
        page = exploring.report(now, changes(now, before))
    assert (
        "Since the earlier exploration" in page and "<td>rare</td><td>unexpected exit</td>" in page
    )
    assert "if it is still there, this exploration misses it in at most" in page
    result = CliRunner().invoke(main, ["report", str(later), "--since", str(earlier)])
    assert result.exit_code == 0, result.output
    assert re.search(r"rare +unexpected exit: 0 .*\(1 → 0\)", result.output)


def test_ci_reads_one_case_for_each_failure_that_was_looked_for(tmp_path: Path) -> None:
    with Exploration(explored(tmp_path / "x.bpx", 2)) as found:
        suite = ElementTree.fromstring(exploring.junit(found))
    assert (suite.get("name"), suite.get("tests"), suite.get("failures")) == ("shop", "2", "1")
    failed, passed = suite.findall("testcase")
    assert failed.get("name") == "unexpected exit" and passed.find("failure") is None
    assert str(failed.findtext("failure")).count("unexpected exit") == 2


def test_the_command_writes_both_and_its_status_says_what_was_found(tmp_path: Path) -> None:
    def report(path: Path, *more: object) -> tuple[int, str]:
        result = CliRunner().invoke(main, ["report", str(path), *map(str, more)])
        return result.exit_code, result.output

    clean, found = (explored(tmp_path / f"{n}.bpx", n) for n in (0, 3))
    page, xml = tmp_path / "r.html", tmp_path / "r.xml"
    assert report(clean)[0] == 0
    status, said = report(found, "-o", page, "--junit", xml)
    assert status == 1 and "3 findings" in said and "\x1b" not in said
    assert "<html" in page.read_text() and ElementTree.parse(xml).getroot().tag == "testsuite"
    status, said = report(tmp_path / "none.bpx")
    assert status == 2 and "there is no exploration" in said
