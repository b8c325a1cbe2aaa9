"""The report of an exploration: read without scripts, whatever the programs have written."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from explorations import add, begun

from branchpoint.cli import main
from branchpoint.search.changes import changes
from branchpoint.search.exploration import Exploration
from branchpoint.sharing.report import exploring

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
    assert failed is not None and failed.get("message") == "violated in 5"
    assert skipped is not None and skipped.get("message") == "not met in 5 stretches"


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
