"""Tells which cell runs, for widgets that are named after their cell."""

from __future__ import annotations

from typing import Any

from branchpoint.views import identity


def install(kernel: Any) -> None:
    """Name the widgets of this kernel after the cells that make them."""

    def cell() -> identity.Cell:
        parent = kernel.get_parent("shell") or {}
        return identity.Cell(
            execution=parent.get("header", {}).get("msg_id", ""),
            id=str(parent.get("metadata", {}).get("cellId") or ""),
            code=str(parent.get("content", {}).get("code", "")),
        )

    identity.use(cell)
