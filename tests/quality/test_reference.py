"""`make docs`: the reference has everything that users call, each with a description."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tree import ROOT

import branchpoint as bp

PAGES = (
    "branchpoint.html",
    "branchpoint/timeline/recording.html",
    "branchpoint/futures/curve.html",
    "branchpoint/search/exploring.html",
)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The pages, by name."""
    place = tmp_path_factory.mktemp("docs")
    recipe = subprocess.run(
        ["make", "--dry-run", "--always-make", "docs"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    (line,) = re.findall(r"^.*/pdoc (.*)$", recipe, re.MULTILINE)
    words = line.replace("build/docs", str(place)).split()
    subprocess.run(
        [sys.executable, "-m", "pdoc", *words], cwd=ROOT, check=True, capture_output=True
    )
    return {name: Path(place, name).read_text() for name in PAGES}


def test_all_that_is_public_is_in_it(pages: dict[str, str]) -> None:
    text = pages["branchpoint.html"]
    missing = [name for name in bp.__all__ if f'id="{name}"' not in text]
    assert missing == []
    for name in ("Recording.likelihood", "Moment.branch", "Branch.wait_until", "Process.output"):
        assert f'id="{name}"' in text
    assert 'id="Recording.at"' in pages["branchpoint/timeline/recording.html"]
    assert 'id="Curve.steps"' in pages["branchpoint/futures/curve.html"]
    assert 'id="explore"' in pages["branchpoint/search/exploring.html"]


@pytest.mark.parametrize("kind", [bp.Recording, bp.Moment, bp.Branch, bp.Process, bp.EventSet])
def test_each_member_says_what_it_is(kind: type) -> None:
    members = inspect.getmembers(kind, lambda it: callable(it) or isinstance(it, property))
    bare = [n for n, it in members if not n.startswith("_") and not inspect.getdoc(it)]
    assert bare == []
