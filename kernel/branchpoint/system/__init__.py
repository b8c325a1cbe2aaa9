"""Compose files and images -> containers, networks, root file systems: the system image.

``build("compose.yaml")`` is all that other layers need.
"""

from __future__ import annotations

from branchpoint.system.bundle.layout import SystemImage, build
from branchpoint.system.compose.reading import load
from branchpoint.system.model import ContainerSpec, Noise, Note, System

__all__ = ["ContainerSpec", "Noise", "Note", "System", "SystemImage", "build", "load"]
