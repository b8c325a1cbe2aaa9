"""Imports point down through the layers, and only the notebook layer uses notebooks."""

from __future__ import annotations

import subprocess
import sys

import pytest
from tree import imports, modules

LAYERS = [
    {"errors", "progress", "background", "cache", "files", "decoding", "units", "showing", "clock"},
    {"debian"},
    {"machine"},
    {"guest"},
    {"faults"},  # does not know compose files, which name its kinds
    {"system"},
    {"programs"},
    {"store"},
    {"events"},
    {"timeline"},
    {"futures"},
    {"search"},
    {"sharing"},
    {"views"},
    {""},  # branchpoint itself: the names that users import
    {"notebook"},
    {"cli", "doctor", "soak", "torture"},
]
"""From the lowest to the highest; a module imports from its own layer and those before it."""

WIDGET_PACKAGES = {"anywidget", "ipywidgets", "traitlets"}
LARGE_PACKAGES = {"scipy", "pandas", "matplotlib", "dask", "distributed"}
NOTEBOOK_PACKAGES = {"IPython", "ipykernel", "jupyter_client", *WIDGET_PACKAGES}


def layer(module: str) -> int:
    """The number of a module's layer."""
    part = module.split(".")[1] if "." in module else ""
    for number, parts in enumerate(LAYERS):
        if part in parts:
            return number
    raise AssertionError(f"{module} belongs to no layer of the design")


@pytest.mark.parametrize("module", modules())
def test_imports_point_down(module: str) -> None:
    used = {found for found in imports(modules()[module]) if found in modules()}
    above = sorted(found for found in used if layer(found) > layer(module))
    assert not above, f"{module} imports from a layer above its own"


@pytest.mark.parametrize("module", modules())
def test_only_the_notebook_layer_knows_of_notebooks(module: str) -> None:
    used = {found.partition(".")[0] for found in imports(modules()[module])}
    if module.startswith("branchpoint.views."):  # not the package: it loads them when needed
        used -= WIDGET_PACKAGES
    assert module.startswith("branchpoint.notebook") or not used & NOTEBOOK_PACKAGES


def test_a_script_loads_nothing_of_jupyter_and_no_large_library_before_it_is_used() -> None:
    code = "import branchpoint, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {module.partition(".")[0] for module in done.stdout.split()}
    assert not loaded & (NOTEBOOK_PACKAGES | LARGE_PACKAGES)
