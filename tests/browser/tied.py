"""Runs a Python module that ends with the process that has started it, however that process ends.

tied.py PARENT MODULE ARGUMENTS...: the module gets SIGTERM when process PARENT is gone.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    parent, *module = sys.argv[1:]
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)  # also holds after exec
    if os.getppid() != int(parent):
        sys.exit("the process that wanted this has ended")
    os.execv(sys.executable, [sys.executable, "-m", *module])


if __name__ == "__main__":
    main()
