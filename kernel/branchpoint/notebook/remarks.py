"""Remarks in a notebook: small lines among the outputs of a cell.

They are neither errors nor results. What a cell writes to stderr has the red ground of errors, in
JupyterLab and in pages made of notebooks.
"""

from __future__ import annotations

from IPython.display import display

from branchpoint.events import tables


def show(remark: str) -> None:
    """Show a remark below what the cell has shown so far."""
    display({"text/plain": remark, "text/html": tables.note(remark)}, raw=True)
