"""A notebook is run again: differences are described so that the user finds the cell."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3
from bundles import NOTEBOOK, notebook
from click.testing import CliRunner

import branchpoint as bp
from branchpoint.cli import main
from branchpoint.sharing.proof import hygiene, rerun
from branchpoint.sharing.proof.rerun import compare

TESTS = Path(__file__).parents[1]


def with_outputs(*outputs: dict[str, Any], source: str = "1") -> hygiene.Notebook:
    found: hygiene.Notebook = copy.deepcopy(NOTEBOOK)
    found["cells"][1]["outputs"] = list(outputs)
    found["cells"][1]["source"] = source
    return found


def said(text: str) -> dict[str, Any]:
    return {"name": "stdout", "output_type": "stream", "text": text}


def result(**data: str) -> dict[str, Any]:
    kinds = {"plain": "text/plain", "html": "text/html", "png": "image/png"}
    bundle = {kinds[kind]: content for kind, content in data.items()}
    return {"output_type": "execute_result", "execution_count": 3, "data": bundle, "metadata": {}}


SETUP = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from coinfutures import SYSTEMS
from likelihoods import END, Drawer, exit_of, recording
from recordings import ORIGIN
from branchpoint.futures.allocation import Settings
from branchpoint.futures.likelihood import ask, collect
from branchpoint.timeline.replaying.history import COMMAND
from branchpoint.store.manifest import Input
run = recording(Path("run.branchpoint"), [exit_of(29.5)])
"""
VIEWS = [
    "run.timeline()",
    "run.map()",
    """branch = run.at(10).branch()
branch._history.add(Input(at=branch.end.at, kind=COMMAND, data=b"date", note="db.1: date"))
print(branch.id)
del branch
question, _ = ask(run, bp.failure("exit:db.1"))
collect(run, question, Settings(ORIGIN, END), Drawer(SYSTEMS[0]).open)""",
    "run.timeline()",
    "run.map()",
]
"""Cells with branches and curves in between that are kept with the recording."""


def code_cell(source: str) -> dict[str, Any]:
    return {
        "cell_type": "code", "id": blake3(source.encode()).hexdigest(4), "metadata": {},
        "execution_count": None, "outputs": [], "source": source,
    }  # fmt: skip


# -- comparing


def test_equal_notebooks_have_no_difference() -> None:
    one = with_outputs(said("hello\n"), result(plain="3"))
    assert list(compare(one, copy.deepcopy(one))) == []


def test_counts_of_executions_do_not_matter() -> None:
    other = with_outputs({**result(plain="3"), "execution_count": 9})
    other["cells"][1]["execution_count"] = 9
    assert list(compare(with_outputs(result(plain="3")), other)) == []


def test_text_in_lines_or_pieces_is_the_same_text() -> None:
    one = with_outputs({**said(""), "text": ["one\n", "two\n"]})
    other = with_outputs(said("one\n"), said("two\n"))
    assert list(compare(one, other)) == []


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (said("a\nb\nc 1\n"), said("a\nb\nc 2\n"),
         "cell 2, output 1, text, line 3, character 6: saved 'a\\nb\\nc 1\\n', now 'a\\nb"),
        (result(plain="3", html="<b>3</b>"), result(plain="3", html="<b>4</b>"),
         "cell 2, output 1, text/html, line 1, character 3: saved '<b>3</b>', now '<b>4</b>'"),
        (result(plain="3"), result(plain="3", png="iVBO"),
         "cell 2, output 1, image/png, line 1, character 0: saved 'nothing', now 'iVBO'"),
        (result(plain="3"), said("3"), 'cell 2, output 1: saved \'{"data": {"text/plain": "3"}'),
        (result(plain="3" * 5000 + "a"), result(plain="3" * 5000 + "b"), "character 5000"),
    ],
    ids=["stream", "html", "picture", "kind", "long"],
)  # fmt: skip
def test_the_first_difference_is_shown_where_it_is(
    before: dict[str, Any], after: dict[str, Any], words: str
) -> None:
    (found,) = compare(with_outputs(before), with_outputs(after))
    assert words in found
    assert len(found) < 300


def test_outputs_that_come_or_go_are_told() -> None:
    none, one = with_outputs(), with_outputs(said("x"))
    (new,) = compare(none, one)
    (gone,) = compare(one, none)
    assert new.startswith("cell 2, output 1 is new") and "did not come again" in gone


# -- running


def test_a_notebook_that_says_the_same_again_passes(tmp_path: Path) -> None:
    path = tmp_path / "x.ipynb"
    source = "import os\nprint('hello')\nos.path.exists('beside'), bp.Time.seconds(1)"
    path.write_text(json.dumps(with_outputs(source=source)))
    (tmp_path / "beside").touch()
    path.write_text(
        json.dumps(
            with_outputs(
                said("hello\n"), result(plain="(True, Time.seconds(1.000))"), source=source
            )
        )
    )
    before = path.read_bytes()
    found = bp.verify_notebook(path)
    assert found, str(found)
    assert str(found) == "x.ipynb: 1 cells run again, every output the same, byte for byte"
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["beside", "x.ipynb"]


@pytest.mark.long
def test_views_show_the_same_the_first_time_a_notebook_runs_again(tmp_path: Path) -> None:
    """What later cells keep with the recording is not in the outputs of earlier ones."""
    path = tmp_path / "x.ipynb"
    cells = [code_cell(code) for code in (SETUP.format(tests=str(TESTS)), *VIEWS)]
    path.write_text(json.dumps({**NOTEBOOK, "cells": cells}))
    first = rerun._run(path, hygiene.read(path), None)
    maps = ["".join(cell["outputs"][0]["data"]["text/plain"]) for cell in first["cells"][2::3]]
    assert "\n0 branches of run.branchpoint" in maps[0]
    assert "db.1: date" in maps[1] and "futures: " in maps[1]
    assert (tmp_path / "run.branchpoint" / "futures.jsonl").read_text().count("\n") == 1
    path.write_bytes(hygiene.write(first))
    assert str(bp.verify_notebook(path)) == (
        "x.ipynb: 6 cells run again, every output the same, byte for byte"
    )


def test_a_clock_and_an_address_in_outputs_are_found(tmp_path: Path) -> None:
    path = tmp_path / "x.ipynb"
    shown = result(plain="<object object at 0x7f21a8c0b2d0>")
    path.write_text(json.dumps(with_outputs(said("12:31\n"), shown, source=(
        "import time\nprint(time.time())\nobject()"))))  # fmt: skip
    outcome = CliRunner().invoke(main, ["verify", "--notebook", str(path)])
    assert outcome.exit_code == 1
    assert "x.ipynb: 1 cells run again, 2 differ" in outcome.stdout
    assert "cell 2, output 1, text, line 1, character 1: saved '12:31\\n', now '1" in outcome.stdout
    assert "note: cell 2 shows an address in memory: at 0x7f21a8c0b2d0" in outcome.stdout


def test_an_error_that_was_saved_is_an_output_like_others(tmp_path: Path) -> None:
    path = tmp_path / "x.ipynb"
    path.write_text(json.dumps(with_outputs(said("no error\n"), source="1 / 0")))
    found = bp.verify_notebook(path)
    assert not found and len(found.differences) == 1
    assert "ZeroDivisionError" in found.differences[0]


@pytest.mark.parametrize(
    ("content", "words"),
    [("{}", "not a notebook of format 4"), ("hello", "it is not JSON"),
     ("[" * 100_000, "it is not JSON"), ('{"cells": [1]}', "not a notebook of format 4"),
     (json.dumps(with_outputs()), "has no outputs to compare")],
    ids=["empty", "text", "deep", "cells", "never run"],
)  # fmt: skip
def test_what_is_no_executed_notebook_is_refused(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "x.ipynb").write_text(content)
    with pytest.raises(bp.RecordingError, match=words):
        bp.verify_notebook(tmp_path / "x.ipynb")


def test_without_nbclient_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nbclient.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'nbclient'\")"
    )
    known = os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{known}")
    (tmp_path / "x.ipynb").write_text(json.dumps(with_outputs(said("x"))))
    with pytest.raises(bp.SetupError, match="No module named 'nbclient'") as caught:
        bp.verify_notebook(tmp_path / "x.ipynb")
    assert "branchpoint[notebook]" in caught.value.hint and "\n" not in caught.value.message


def test_a_missing_notebook_is_named(tmp_path: Path) -> None:
    with pytest.raises(bp.RecordingError, match=r"y\.ipynb cannot be read"):
        bp.verify_notebook(tmp_path / "y.ipynb")


def test_verify_wants_something_to_verify() -> None:
    outcome = CliRunner().invoke(main, ["verify"])
    assert outcome.exit_code == 2 and "name a recording" in outcome.stderr


# -- hygiene


def test_cleaning_takes_state_and_times_and_leaves_the_rest() -> None:
    found = with_outputs(result(plain="3"))
    found["metadata"]["widgets"] = {"state": {}}
    times = {"iopub.execute_input": "2026"}
    found["cells"][1]["metadata"] = {"execution": times, "trusted": True, "tags": ["x"]}
    cleaned = hygiene.clean(found)
    expected = with_outputs(result(plain="3"))
    expected["cells"][1]["metadata"] = {"tags": ["x"]}
    assert cleaned == expected
    assert hygiene.clean(cleaned) == cleaned
    assert hygiene.suspects(cleaned) == []
    assert hygiene.suspects(found) == ["it contains state of widgets or times of execution"]


def test_another_id_of_a_view_is_a_difference() -> None:
    kind = "application/vnd.jupyter.widget-view+json"
    one, other = (
        with_outputs({**result(plain="view"), "data": {kind: {"model_id": digit * 32}}})
        for digit in "ab"
    )
    (found,) = compare(one, other)
    assert kind in found


def test_reading_and_writing_changes_no_byte(tmp_path: Path) -> None:
    path = notebook(tmp_path / "x.ipynb")
    assert hygiene.write(hygiene.read(path)) == path.read_bytes()


@pytest.mark.parametrize(
    "cells",
    [[{"metadata": 3}], [{"outputs": 3}], [{"outputs": [3]}], [{"outputs": [{"data": 3}]}],
     [{"metadata": {"execution": 3}}], [{}]],
)  # fmt: skip
def test_strange_notebooks_are_left_as_they_are(cells: list[Any]) -> None:
    found = hygiene.clean({"cells": cells, "metadata": []})
    assert len(found["cells"]) == 1
    hygiene.suspects(found)
