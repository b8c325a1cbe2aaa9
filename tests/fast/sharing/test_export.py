"""A recording in the formats of other programs: complete, the same every time, and harmless."""

from __future__ import annotations

import csv
import html.parser
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from bundles import bundle
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from likelihoods import recording
from recordings import ORIGIN, SECOND, event, head

import branchpoint as bp
from branchpoint.cli import main
from branchpoint.futures.draws import Draw, Draws, Question
from branchpoint.sharing.report import occurrences
from branchpoint.store.manifest import ContainerFacts
from branchpoint.timeline.capture.packets import Clock, Packets
from branchpoint.timeline.directory import RecordingFiles
from branchpoint.timeline.schedule import Schedule, Slice

CRASH = ORIGIN + 8 * SECOND
SCRIPT = "<script>alert(1)</script>"
WORDS = f"exited with 1, why={SCRIPT}"
EVIL = [
    SCRIPT,
    '"><img src=x onerror=alert(1)>',
    "</code></td></table><svg onload=alert(1)>",
    "javascript:alert(1)",
    "\x1b]0;title\x07\x1b[31mred\u202egnp",
    "]]>--><!--",
    "=cmd|' /C calc'!A0",
    "x" * 5000,
]


def life(second: float, kind: str, container: str, text: str = "", **fields: str) -> bp.Event:
    return event(second, text, source="life", container=container, type=kind, fields=fields)


def fault(second: float, kind: str, target: str, number: str, what: str) -> bp.Event:
    fields = {"id": number, "type": what, "target": target}
    return event(second, f"{what} {target}", source="fault", container="", type=kind,
                 fields=fields)  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[bp.Recording]:
    """Ten seconds of two containers: a restart, a fault with a duration, hostile lines, a crash."""
    path = tmp_path_factory.mktemp("export") / "evil.branchpoint"
    made = head(
        title=SCRIPT,
        failure=CRASH,
        ended="db.1 container.exit",
        containers=[
            ContainerFacts(name="db.1", service="db", image=SCRIPT, address="10.89.0.2"),
            ContainerFacts(name="web.1", service="web", image="web:1", address="10.89.0.3"),
        ],
    )
    with RecordingFiles.create(path, made) as files:
        files.events.add(
            sorted(
                [
                    life(0.1, "container.start", "db.1", "pid 7", pid="7"),
                    life(0.2, "container.start", "web.1", "pid 8", pid="8"),
                    life(3, "container.exit", "web.1", "exited with 1", code="1", signal="0"),
                    life(3.5, "container.start", "web.1", "pid 9", pid="9"),
                    fault(4, "fault.start", "db.1", "1", "partition"),
                    fault(6, "fault.end", "db.1", "1", "partition"),
                    fault(7, "fault.start", SCRIPT, "2", "clog"),
                    life(
                        8,
                        "container.exit",
                        "db.1",
                        f"exited with 1, why={SCRIPT}",
                        code="1",
                        why=SCRIPT,
                    ),
                    *(event(5 + n / 100, text) for n, text in enumerate(EVIL)),
                ],
                key=lambda each: each.at,
            )
        )
        files.save(made)
        asked = Question(failure=f"exit of {SCRIPT}", failure_key="ab", horizon=CRASH + SECOND)
        draws = Draws(files, asked)
        for seed in range(8):
            for second in (2, 6):
                failed = second == 6 or seed == 0
                draws.add(
                    Draw(
                        at=ORIGIN + second * SECOND,
                        seed=seed,
                        verdict="failed" if failed else "passed",
                        failed_at=CRASH if failed else None,
                        end=CRASH,
                    )
                )
    with bp.open(path) as opened:
        yield opened


# -- the report


class Page(html.parser.HTMLParser):
    """What a browser would find in a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs
        if tag not in ("img", "meta"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


TAGS = {"html", "head", "meta", "title", "style", "body", "h1", "h2", "h3", "small", "table",
        "thead", "tbody", "tr", "th", "td", "code", "p", "img", "details", "summary"}  # fmt: skip


def harmless(text: str) -> Page:
    page = Page(text)
    assert page.open == [], "every element is closed where it should be"
    assert page.tags <= TAGS
    assert {name for name, _ in page.attributes} <= {
        "lang", "charset", "http-equiv", "content", "name", "alt", "src", "class",
    }  # fmt: skip
    sources = [value or "" for name, value in page.attributes if name == "src"]
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert ("http-equiv", "Content-Security-Policy") in page.attributes
    policy = next(value for name, value in page.attributes if name == "content") or ""
    assert "default-src 'none'" in policy and "script" not in policy
    return page


def test_no_script_of_a_stranger_is_in_the_report(run: bp.Recording, tmp_path: Path) -> None:
    text = bp.export(run, tmp_path / "r.html").read_text()
    page = harmless(text)
    assert "<script" not in text.lower() and "<svg" not in text.lower()
    assert SCRIPT in "".join(page.words), "it is shown as text"
    assert "\x1b" not in text and "\u202e" not in text and "\x07" not in text


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.text(max_size=300), st.text(max_size=60))
def test_any_line_at_all_is_harmless_in_a_report(
    tmp_path_factory: pytest.TempPathFactory, line: str, note: str
) -> None:
    folder = tmp_path_factory.mktemp("any")
    made = head(title=note, ended=note)
    with RecordingFiles.create(folder / "x.branchpoint", made) as files:
        files.events.add([event(1, line), life(1, "container.exit", "db.1", line, code=note)])
        files.save(made)
    with bp.open(folder / "x.branchpoint") as run:
        harmless(bp.export(run, folder / "r.html").read_text())
        json.loads(bp.export(run, folder / "t.json").read_bytes())
        bp.export(run, folder / "e.csv")


def test_the_report_tells_the_story(run: bp.Recording, tmp_path: Path) -> None:
    text = bp.export(run, tmp_path / "r.html").read_text()
    words = " ".join(Page(text).words)
    for wanted in ("◆ fault", "✖ exit", "dashed: the recorded failure", "main@8", "main@4",
                   "main@3", "partition db.1", "exited (1)", "clog", "seed",
                   "QEMU 10.0.2"):  # fmt: skip
        assert wanted in words
    assert text.count('<tr class="here">') == 4  # two faults, two exits
    assert text.count("data:image/png;base64,") == 2  # timeline and curve
    assert "1 of 8" in words and "8 of 8" in words


def test_packets_are_in_the_report(run: bp.Recording, tmp_path: Path) -> None:
    capture = Packets(b"", Clock(0, 0, 1.0), ORIGIN, notes=[f"3 were dropped {SCRIPT}"])
    page = harmless(bp.export(run, tmp_path / "r.html", packets={SCRIPT: capture}).read_text())
    assert f"Packets: {SCRIPT}" in "".join(page.words)
    assert f"3 were dropped {SCRIPT}" in "".join(page.words)
    with pytest.raises(bp.BranchpointError, match="only a report has packets"):
        bp.export(run, tmp_path / "t.json", packets={"x": capture})


def test_a_long_recording_gives_a_short_report(tmp_path: Path) -> None:
    made = head()
    with RecordingFiles.create(tmp_path / "x.branchpoint", made) as files:
        exits = [life(n / 100, "container.exit", "db.1", "y" * 900) for n in range(900)]
        files.events.add(exits)
        files.save(made)
    with bp.open(tmp_path / "x.branchpoint") as run:
        path = bp.export(run, tmp_path / "r.html")
    assert path.stat().st_size < 2_000_000
    assert "The 24 of 900 that are nearest to the end." in path.read_text()


# -- the trace


@pytest.fixture(scope="module")
def trace(run: bp.Recording, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = bp.export(run, tmp_path_factory.mktemp("trace") / "t.json")
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found


def of(trace: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [entry for entry in trace["traceEvents"] if entry["ph"] == kind]


class _Entry(msgspec.Struct):
    """What Chrome's format requires of every event."""

    ph: str
    pid: int
    tid: int
    name: str
    args: dict[str, Any]
    ts: float = 0.0


def test_every_entry_has_what_the_format_asks_for(trace: dict[str, Any]) -> None:
    entries = msgspec.convert(trace["traceEvents"], list[_Entry])
    assert {entry.ph for entry in entries} == {"M", "X", "b", "e", "i", "C"}
    timed = [entry.ts for entry in entries if entry.ph != "M"]
    assert timed == sorted(timed) and timed[0] >= 0
    tracks = [(e.pid, e.tid) for e in entries if e.name == "thread_name"]
    assert len(set(tracks)) == len(tracks)
    assert all(pid != tid for pid, tid in tracks), "the one of the same number is the main thread"


def test_each_container_is_a_track_with_its_lives(trace: dict[str, Any]) -> None:
    names = {e["tid"]: e["args"]["name"] for e in of(trace, "M") if e["name"] == "thread_name"}
    lives = [(names[e["tid"]], e["ts"], e["dur"]) for e in of(trace, "X")]
    assert lives == [
        ("db.1", 100_000, 7_900_000), ("web.1", 200_000, 2_800_000), ("web.1", 3_500_000, 6_500_000)
    ]  # fmt: skip


def test_times_are_virtual_and_none_is_before_0(tmp_path: Path) -> None:
    path = tmp_path / "early.branchpoint"
    with RecordingFiles.create(path, head()) as files:
        files.events.add(
            [
                event(-2, "booting", source="kernel", container=""),
                life(-1, "container.start", "db.1", "pid 7", pid="7"),
                event(1.5, "up"),
                life(3, "container.exit", "db.1", "exited with 1", code="1"),
            ]
        )
    with bp.open(path) as run:
        found = json.loads(bp.export(run, tmp_path / "early.json").read_text())
    timed = [entry for entry in found["traceEvents"] if entry["ph"] != "M"]
    assert timed[0]["ts"] == 0, "a viewer that begins at the first one begins at vtime 0"
    for entry in timed:
        if "vtime" in entry["args"]:
            assert entry["ts"] == float(entry["args"]["vtime"]) * 1e6
    (lived,) = of(found, "X")
    assert (lived["dur"], lived["args"]["started"]) == (3_000_000, "-1.000")
    assert [entry["name"] for entry in of(found, "i")] == [
        "vtime 0",
        "up",
        "container.exit exited with 1",
    ]


def test_threads_of_a_schedule_are_tracks_of_processes_of_their_own(
    run: bp.Recording, tmp_path: Path
) -> None:
    turns = [Slice(ORIGIN + n * 1000, ORIGIN + n * 1000 + 500, n, 9, "sh", "db.1") for n in (1, 2)]
    told = Schedule(run.at(0), run.at(1), turns, whole=True)
    found = json.loads(bp.export(run, tmp_path / "t.json", schedule=told).read_bytes())
    msgspec.convert(found["traceEvents"], list[_Entry])
    (process,) = {e["pid"] for e in of(found, "X") if e["name"] == "sh"}
    assert {e["args"]["name"] for e in of(found, "M") if e["pid"] == process} == {"db.1"}
    mine = [(e["tid"], e["ts"], e["dur"]) for e in of(found, "X") if e["pid"] == process]
    assert mine == [(1, 1, 0.5), (2, 2, 0.5)]
    assert len(of(found, "i")) > 3, "everything else is there"
    with pytest.raises(bp.BranchpointError, match="only a trace has a schedule"):
        bp.export(run, tmp_path / "r.html", schedule=told)


def test_faults_begin_and_end(trace: dict[str, Any]) -> None:
    begun, ended = of(trace, "b"), of(trace, "e")
    assert [(e["name"], e["args"]["vtime"], e["args"]["ends"]) for e in begun] == [
        ("partition db.1", "4.000", "6.000"), (f"clog {SCRIPT}", "7.000", "10.000"),
    ]  # fmt: skip
    key = [(e["cat"], e["id2"]["local"], e["name"]) for e in begun]
    assert [(e["cat"], e["id2"]["local"], e["name"]) for e in ended] == key
    assert len(set(key)) == 2
    assert [e["args"] for e in ended] == [{}, {}], "a reader would take them for the beginning's"


def test_lines_are_instants_and_counted(trace: dict[str, Any]) -> None:
    texts = [entry["args"]["text"] for entry in of(trace, "i") if entry["cat"] != "time"]
    assert SCRIPT in texts
    assert not any("\x1b" in text for text in texts)
    assert all(entry["args"]["moment"].startswith("main@") for entry in of(trace, "i"))
    lines = [e for e in of(trace, "C") if e["name"] == "db.1"]
    assert sum(e["args"]["lines/s"] for e in lines) / 4 == len(EVIL)
    chances = [e["args"]["from here"] for e in of(trace, "C") if e["name"].startswith("P(")]
    assert chances == [0.125, 1.0]


# -- tables


def test_the_table_has_every_event(run: bp.Recording, tmp_path: Path) -> None:
    path = bp.export(run, tmp_path / "e.csv")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(run.events)
    assert [row["text"] for row in rows][-2:] == ["clog " + SCRIPT, WORDS]
    assert json.loads(rows[-1]["fields"]) == {"code": "1", "why": SCRIPT}
    assert float(rows[-1]["vtime"]) == 8.0


def test_a_parquet_file_has_every_event(run: bp.Recording, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    import pyarrow.parquet

    found = pyarrow.parquet.read_table(bp.export(run, tmp_path / "e.parquet"))
    assert found.column_names == list(run.events.frame().columns)
    assert found.column("text").to_pylist() == [event.text for event in run.events]
    assert json.loads(found.column("fields").to_pylist()[-1]) == {"code": "1", "why": SCRIPT}


def test_without_pyarrow_the_error_says_what_to_install(
    run: bp.Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(bp.SetupError, match=r"branchpoint\[export\]"):
        bp.export(run, tmp_path / "e.parquet")


# -- all of them


@pytest.mark.parametrize("form", [".html", ".json", ".csv"])
def test_equal_recordings_give_equal_files(run: bp.Recording, tmp_path: Path, form: str) -> None:
    one = bp.export(run, tmp_path / f"one{form}").read_bytes()
    assert bp.export(run, tmp_path / f"two{form}").read_bytes() == one
    assert bp.export(run, tmp_path / f"one{form}").read_bytes() == one


def test_an_unknown_form_is_refused(run: bp.Recording, tmp_path: Path) -> None:
    with pytest.raises(bp.BranchpointError, match=r"use \.html, \.json, \.csv, \.parquet"):
        bp.export(run, tmp_path / "x.doc")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_named(run: bp.Recording, tmp_path: Path) -> None:
    with pytest.raises(bp.RecordingError, match="cannot be written"):
        bp.export(run, tmp_path / "nowhere" / "r.html")


def test_a_bundle_is_exported_without_unpacking_it_there(tmp_path: Path) -> None:
    made = bundle(tmp_path)
    before = sorted(path.name for path in tmp_path.iterdir())
    done = CliRunner().invoke(main, ["export", str(made), "-o", str(tmp_path / "r.html")])
    assert done.exit_code == 0, done.output
    assert re.search(r"r\.html: 0\.\d\d MB", done.stdout)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*before, "r.html"])


def test_a_file_is_only_replaced_when_that_is_asked_for(run: bp.Recording, tmp_path: Path) -> None:
    there = tmp_path / "r.html"
    there.write_text("mine")
    done = CliRunner().invoke(main, ["export", str(run.path), "-o", str(there)])
    assert done.exit_code == 1 and "exists already" in done.stderr and "--force" in done.stderr
    assert there.read_text() == "mine"
    done = CliRunner().invoke(main, ["export", str(run.path), "-o", str(there), "--force"])
    assert done.exit_code == 0 and "<html" in there.read_text()


def test_an_end_that_comes_before_its_fault_is_not_its_end(tmp_path: Path) -> None:
    """Ids come from the guest, and a stranger's guest may send anything."""
    ended = event(3, "over", source="fault", container="", type="fault.end", fields={"id": "1"})
    events = [ended, fault(5, "fault.start", "db.1", "1", "clog")]
    with recording(tmp_path / "x.branchpoint", events) as run:
        (stretch,) = occurrences.faults(run)
        assert stretch.start < stretch.end == run.manifest.end
