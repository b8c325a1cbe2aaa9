"""Log lines: one event each, on standard output, written at once."""

from __future__ import annotations

import sys


def log(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
