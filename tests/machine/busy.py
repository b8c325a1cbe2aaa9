"""How busy tests keep this computer beside what they soak."""

from __future__ import annotations

import os

BUSY = 1 if "PYTEST_XDIST_WORKER" in os.environ else None
"""Processes that only compute, for :func:`branchpoint.soak.soak`; None: one a core.

`make test` runs the suite in two processes: the other one keeps a core busy with work of its own.
"""
