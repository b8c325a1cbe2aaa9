"""An exploration on disk, and what counts as a failure in it; without a machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from explorations import END, add, begun
from recordings import ORIGIN, event, set_of

import branchpoint as bp
from branchpoint.events.event import Event
from branchpoint.search.exploration import BASE, HEAD, Exploration, Head
from branchpoint.search.exploring import Search, prepare
from branchpoint.search.properties import built_in, declared
from branchpoint.search.stretches import Ran
from branchpoint.search.tree import MOST_WORKERS, ROOT, Node
from branchpoint.search.triage import Triage
from branchpoint.system import load
from branchpoint.timeline.judges import Stretch

LEDGER = "nodes.jsonl"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """An exploration with three stretches, two of which failed in the same way."""
    path = tmp_path / "x.bpx"
    with begun(path) as found:
        found.add(found.tree.node(ROOT, 1, END, END + 50, ["started"]))
        for seed in (2, 3):
            node = found.tree.node(1, seed, END + 50, END + 100, ["exit"])
            failed = {"failure": "unexpected exit", "failed_at": END + 75, "kind": "exit db.1 1"}
            found.add(msgspec.structs.replace(node, **failed))
    return path


def test_what_was_added_is_there_again(path: Path) -> None:
    with Exploration(path) as found:
        assert found.tree.signs == ["started", "exit"] and not found.damage
        (finding,) = found.findings
        assert (finding.number, finding.nodes) == (1, (2, 3))
        assert finding.vtime == pytest.approx(10 + 75e-9)
        assert finding.path == path / "findings" / "1.branchpoint"
        assert "3 stretches" in repr(found) and "1 finding\n" in repr(found)
        assert "unexpected exit: exit db.1 1 (2 times)" in repr(found)
        assert found.finding(1) == finding
        with pytest.raises(bp.BranchpointError, match=r"no finding 2\n.*there are 1 to 1"):
            found.finding(2)


def test_two_do_not_make_the_recording_of_set_up_at_once(tmp_path: Path) -> None:
    """The second would delete what the first is recording."""
    path = tmp_path / "x.bpx"
    (tmp_path / "compose.yaml").write_text("services: {db: {image: 'db:1'}}")
    system = load(tmp_path)
    with begun(path) as found, found.claimed():
        head = Head.read(path)
        (path / BASE).rename(path / f".{BASE}")
        with pytest.raises(bp.RecordingError, match="is being explored already"):
            prepare(system, "compose.yaml", path, head, {})
        assert (path / f".{BASE}").exists()


def test_the_number_of_a_worker_has_bounds(tmp_path: Path) -> None:
    """In a cluster, each worker that comes has another one."""

    class Late:
        """A crew of which the worker that came last runs one stretch."""

        def run(self, choose: Callable[[int], Any], take: Callable[[int, Any, Ran], Node]) -> None:
            number = 3 * MOST_WORKERS + 5
            take(number, choose(number), Ran(end=END + 50, seen=["started"]))

    with begun(tmp_path / "x.bpx") as found, found.open_base() as base:
        Search(found, [], base).run(Late(), 60, 1)  # type: ignore[arg-type]
    with Exploration(tmp_path / "x.bpx") as found:
        assert found.tree[1].worker == 5 and not found.damage


def test_one_that_takes_too_much_disk_already_runs_no_stretch(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Asking:
        """A crew that asks what to run."""

        def run(self, choose: Callable[[int], Any], take: object) -> None:
            self.chosen = choose(0)

    with Exploration(path) as found, found.open_base() as base:
        found.findings[0].path.mkdir(parents=True)
        for disk, runs in ((0, True), (1 << 40, True), (1000, False)):
            crew = Asking()
            Search(found, [], base).run(crew, 60, None, disk)  # type: ignore[arg-type]
            assert (crew.chosen is not None) == runs
    assert "are allowed" in capsys.readouterr().err


def test_a_notebook_shows_findings_with_their_triage_and_what_does_not_hold(path: Path) -> None:
    with Exploration(path) as found:
        found.keep_triage(1, Triage(likely=[], decided=[], words="Because of <b>."))
        page = found._repr_html_()
        assert "unexpected exit: exit db.1 1" in page and "Because of &lt;b&gt;." in page
        assert page.count("<table>") == 1 and "10.000 s" in page
    with begun(path.with_name("other.bpx"), title="<i>") as found:
        add(found, "assertion sometimes declared: <u>")
        page = found._repr_html_()
        assert "&lt;i&gt;" in page and "<td style='text-align:left'>not met</td>" in page
        assert "&lt;u&gt;" in page and "finding</th>" not in page
        for number in range(30):
            add(found, failed=f"exit {number}")
        assert "10 more: .findings has all" in found._repr_html_()
        assert len(found._repr_html_()) < 20_000


def test_a_line_that_was_cut_off_is_left_out_and_the_exploration_goes_on(path: Path) -> None:
    ledger = path / LEDGER
    ledger.write_bytes(ledger.read_bytes()[:-20])
    with Exploration(path) as found:
        assert len(found.tree) == 2
        with found.claimed():
            found.add(found.tree.node(1, 9, END + 50, END + 60, []))
    with Exploration(path) as found:
        assert [node.seed for node in found.tree.nodes] == [1, 2, 9]


def test_one_whose_middle_is_damaged_can_be_read_but_not_continued(path: Path) -> None:
    ledger = path / LEDGER
    lines = ledger.read_bytes().splitlines(keepends=True)
    ledger.write_bytes(b"".join([lines[0].replace(b"started", b"stopped"), *lines[1:]]))
    with Exploration(path) as found:
        assert len(found.tree) == 0 and "line 1 is left out" in " ".join(found.damage)
        assert "from 2 on are left out: number 1 is missing" in " ".join(found.damage)
        with pytest.raises(bp.RecordingError, match="can be read, not continued"), found.claimed():
            pass


@pytest.mark.parametrize("content", [b"", b"{}", b'{"format": 7}', b"[" * 5000])
def test_a_damaged_head_is_named(path: Path, content: bytes) -> None:
    (path / HEAD).write_bytes(content)
    with pytest.raises(bp.RecordingError, match=r"exploration\.json is damaged"):
        Exploration(path)


def test_a_folder_that_is_none_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(bp.RecordingError, match=r"(?s)no exploration at .*branchpoint explore"):
        Exploration(tmp_path)


@pytest.mark.parametrize(
    "fields", [{"parent": -1}, {"end": 5}, {"failure": "x"}, {"failed_at": 12}, {"seen": [1] * 501}]
)
def test_a_node_that_cannot_be_is_refused(fields: dict[str, object]) -> None:
    good: dict[str, object] = {"number": 1, "parent": 0, "seed": 1, "start": 10, "end": 20}
    assert msgspec.convert(good, Node)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(good | fields, Node)


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        (bp.failure(shell="true"), "its command would be part"),
        (bp.failure(eventually="log:db:ready"), "a stretch does not tell"),
        (bp.failure(sometimes="recovered"), "a stretch does not tell"),
        (bp.failure(log="x") | bp.failure(shell="true"), "its command would be part"),
        ("exit:bd", "no container 'bd'"),
    ],
)
def test_what_cannot_be_searched_for_is_refused_at_once(
    tmp_path: Path, wanted: object, why: str
) -> None:
    compose = tmp_path / "compose.yaml"
    compose.write_text("name: shop\nservices:\n  db:\n    image: db:1\n")
    with pytest.raises(bp.BranchpointError, match=why):
        bp.explore(compose, tmp_path / "x.bpx", failures=[wanted])
    assert not (tmp_path / "x.bpx").exists()


def exited(**fields: str) -> Event:
    return event(1, "", type="container.exit", source="life", fields=fields)


@pytest.mark.parametrize(
    ("happened", "failed"),
    [
        (exited(code="0", signal="0"), ""),
        (exited(code="1", signal="0", asked="1"), ""),
        (exited(code="0", signal="9", asked="1"), ""),
        (exited(code="1", signal="0"), "unexpected exit"),
        (exited(code="0", signal="11"), "unexpected exit"),
        (event(1, "", type="container.oom", source="life"), "out of memory"),
        (event(1, "m", type="sdk.assert", fields={"violated": "1"}), "violated assertion"),
        (event(1, "m", type="sdk.assert", fields={"violated": "0"}), ""),
        (event(1, "panic", type="machine.end", source="life"), "end of the machine"),
        (event(1, "fatal: out of memory, exit 1"), ""),
    ],
)
def test_what_must_never_happen(happened: Event, failed: str) -> None:
    nothing = set_of([]).columns
    stretch = Stretch(ORIGIN, END, ORIGIN, nothing)
    names = [each.name for each in built_in() if each.judge(stretch).feed([happened]) is not None]
    assert names == ([failed] if failed else [])


SHOP = """
name: shop
x-branchpoint:
  properties: {PROPERTIES}
services:
  db: {image: ./none.tar}
"""


@pytest.mark.parametrize(
    ("properties", "why"),
    [
        ("{lost: 'log:bd:lost'}", r"compose\.yaml:4: property \"lost\": .*no container 'bd'"),
        ("{lost: 'nonsense:x'}", r'compose\.yaml:4: property "lost": '),
        ("{unexpected exit: 'exit:db'}", "two failures have the name 'unexpected exit'"),
        ("[a]", r"compose\.yaml:4: "),
        ("{lost: 5}", r"compose\.yaml:4: "),
    ],
)
def test_properties_of_the_compose_file_are_checked(
    tmp_path: Path, properties: str, why: str
) -> None:
    compose = tmp_path / "compose.yaml"
    compose.write_text(SHOP.replace("{PROPERTIES}", properties))
    with pytest.raises(bp.BranchpointError, match=why):
        bp.explore(compose, tmp_path / "x.bpx")
    assert not (tmp_path / "x.bpx").exists()


def test_properties_of_the_compose_file_are_looked_for_by_name(tmp_path: Path) -> None:
    compose = tmp_path / "compose.yaml"
    wanted = "{lost write: 'log:db:lost', two leaders: 'sdk:at most one'}"
    compose.write_text(SHOP.replace("{PROPERTIES}", wanted))
    lost, leaders = declared(load(compose))
    assert (lost.name, leaders.name) == ("lost write", "two leaders")
    said = event(5, text="one write is lost", container="db.1")
    judge = lost.judge(Stretch(0, said.at + 1, 0, set_of([]).columns))
    assert judge.feed([said]) == said.at
