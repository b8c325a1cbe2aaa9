"""Where the systems are that tests record."""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent
SMALL = HERE / "systems" / "small" / "compose.yaml"
FAULTY = HERE / "systems" / "faulty" / "compose.yaml"
FLAGS = HERE / "systems" / "flags" / "compose.yaml"
SERVERS = HERE / "systems" / "servers" / "compose.yaml"
COMPOSED = HERE / "systems" / "composed" / "compose.yaml"
IDLE = HERE / "systems" / "idle" / "compose.yaml"
ARIA = HERE.parents[1] / "notebooks" / "systems" / "aria" / "compose.yaml"
