"""The command line. Every command is a thin face on a Python call.

Results go to standard output, progress and complaints to standard error. Exit status: 0; 1 for an
error, explained in words; 2 for a command line that cannot be understood; 130 when interrupted;
``record`` and ``run`` have some of their own.
"""

from __future__ import annotations

from branchpoint.cli.commands import main

__all__ = ["main"]
