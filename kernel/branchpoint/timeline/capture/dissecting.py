"""What Wireshark says about a packet, if its command line program tshark is installed."""

from __future__ import annotations

import shutil
import subprocess

from branchpoint.errors import BranchpointError

_PROGRAM = "tshark"
_TIME = 20  # wall seconds for one packet; it loads its decoders first
_LONGEST = 200_000  # characters


def is_possible() -> bool:
    """Whether tshark is installed."""
    return shutil.which(_PROGRAM) is not None


def dissect(pcap: bytes) -> str:
    """The layers and fields of the packet in a pcap file, one per line.

    :raises BranchpointError: when tshark is not installed, or fails.
    """
    if not is_possible():
        raise BranchpointError(
            f"{_PROGRAM} is not installed", "install it with Wireshark, or save a pcap file"
        )
    # -n: no names are looked up.
    command = [_PROGRAM, "-n", "-V", "-r", "-"]
    try:
        done = subprocess.run(command, input=pcap, capture_output=True, timeout=_TIME)
    except subprocess.TimeoutExpired:
        raise BranchpointError(f"{_PROGRAM} did not answer within {_TIME} s") from None
    if done.returncode:
        why = done.stderr.decode(errors="replace").strip()[:500]
        raise BranchpointError(f"{_PROGRAM} failed: {why or f'exit code {done.returncode}'}")
    return done.stdout.decode(errors="replace")[:_LONGEST]
