"""Unpacks Debian's QEMU for ARM64 into a folder: python fetch.py FOLDER

In a process and a cache of its own, as all else that Branchpoint fetches is for x86-64.
"""

import sys
from pathlib import Path

from branchpoint.debian import apt, fetching, hosttools, index
from branchpoint.machine.packages import ENGINE

apt.ARCHITECTURE = "arm64"
apt.update()
needed = index.needs(sorted(ENGINE.packages))
debs = fetching.fetch([entry for entry in needed if ENGINE.keep(entry.name)], check=True)
hosttools.unpack(debs, Path(sys.argv[1]))
