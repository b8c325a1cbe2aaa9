"""The reference implementation of the Compose specification, from the guest's Debian release."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from branchpoint.debian import hosttools
from branchpoint.debian.entry import PackageList

_PACKAGE = "docker-compose"
_PROGRAM = "usr/libexec/docker/cli-plugins/docker-compose"
ENVIRONMENT = {"HOME": "/nonexistent", "PATH": "/usr/bin:/bin", "PWD": str(Path.cwd())}
"""The variables that compose files may use."""


class Reference:
    """Runs the program; it needs neither an engine nor root."""

    def __init__(self) -> None:
        self._program = hosttools.unpacked(PackageList(_PACKAGE, (_PACKAGE,))).command(_PROGRAM)
        self.version = self._run("version", "--short").stdout.strip()

    def read(self, file: Path) -> dict[str, Any]:
        """What the program understands by a compose file, with all profiles.

        :raises ValueError: when it refuses the file; says why.
        """
        done = self._run("--file", file, "--profile", "*", "config", "--format", "json")
        if done.returncode:
            raise ValueError(done.stderr.strip().splitlines()[-1])
        found: dict[str, Any] = json.loads(done.stdout.replace("$$", "$"))
        return found

    def _run(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._program, *words],
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
