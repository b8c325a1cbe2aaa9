"""The command line. Each command calls the Python API and does little else.

Results go to standard output; progress, warnings and errors to standard error. Exit status: 0 for
success, 1 for an error (with a message), 2 for a wrong command line, 130 when interrupted;
``record`` and ``run`` have further ones.
"""

from __future__ import annotations

from branchpoint.cli.commands import main

__all__ = ["main"]
