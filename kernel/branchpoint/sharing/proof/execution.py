"""A program of its own that runs all cells of a notebook in place: see :mod:`rerun`.

``python -m branchpoint.sharing.proof.execution NOTEBOOK FOLDER`` works in FOLDER and prints the
number of each cell that is done.
"""

from __future__ import annotations

import sys
from pathlib import Path

_PATIENCE = 24 * 3600  # wall seconds for one cell; whoever waits can interrupt
_START = 300  # wall seconds in which a kernel must have started, on a busy computer


def main(path: str, folder: str) -> None:
    """Run the notebook at ``path`` with the kernel "branchpoint" working in ``folder``."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        kernel_name="branchpoint",
        timeout=_PATIENCE,
        startup_timeout=_START,
        allow_errors=True,  # an error is an output like any other
        coalesce_streams=True,
        record_timing=False,
        store_widget_state=False,
        resources={"metadata": {"path": folder}},
        on_cell_executed=lambda cell, cell_index, **_: print(cell_index + 1, flush=True),
    )
    manager = client.create_kernel_manager()
    # Sockets in the copy's folder: they need no network, and nobody else can reach them.
    manager.transport = "ipc"
    manager.ip = str(Path(path).with_name("kernel"))
    client.execute()
    nbformat.write(notebook, path)


if __name__ == "__main__":
    main(*sys.argv[1:])
