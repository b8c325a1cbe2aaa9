"""How much memory a machine may have: defined in one place."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from branchpoint.machine.spec import Hardware
from branchpoint.system.compose import declared
from branchpoint.system.compose.declared import MOST_RAM
from branchpoint.system.compose.reading import load

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(("written", "size"), [("256m", 256 << 20), ("3g", MOST_RAM)])
def test_the_least_and_the_most_memory(tmp_path: Path, written: str, size: int) -> None:
    file = tmp_path / "compose.yaml"
    file.write_text(
        f"x-branchpoint: {{ram: {written}, upper: 1m}}\nservices: {{a: {{image: x}}}}\n"
    )
    assert load(file, profiles=[], environ={}).ram == size


def test_the_most_memory_is_the_same_everywhere() -> None:
    assert f"at most {MOST_RAM >> 30} GiB of memory" in (ROOT / "README.md").read_text()
    assert f"at most {MOST_RAM >> 30} GiB" in inspect.getsource(Hardware)
    assert f"at most {MOST_RAM >> 30}g" in str(declared.__doc__)
