"""``python -m branchpoint.cli``: the same as the program ``branchpoint``."""

from __future__ import annotations

from branchpoint.cli import main

main(prog_name="branchpoint")
