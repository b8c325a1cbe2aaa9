"""Names of Linux: capabilities, resource limits, signals."""

from __future__ import annotations

import re
import signal

CAPABILITIES = (  # in the order of their numbers
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID",
    "SETPCAP", "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW",
    "IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT",
    "SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD",
    "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG",
    "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF", "CHECKPOINT_RESTORE",
)  # fmt: skip
RLIMITS = {
    "as": 9, "core": 4, "cpu": 0, "data": 2, "fsize": 1, "locks": 10, "memlock": 8, "msgqueue": 12,
    "nice": 13, "nofile": 7, "nproc": 6, "rss": 5, "rtprio": 14, "rttime": 15, "sigpending": 11,
    "stack": 3,
}  # fmt: skip
"""Resources that a process can have limits of, and their numbers."""

DEVICES = {"/dev/fuse": (10, 229), "/dev/net/tun": (10, 200)}
"""Devices of the machine that a container may ask for: major and minor number."""
EVERYWHERE = ("null", "zero", "full", "random", "urandom", "tty")
"""Devices that are in every container's /dev."""


def signal_number(name: str) -> int | None:
    """Number of "SIGTERM", "TERM", "15" or "SIGRTMIN+3"; None when there is no such signal."""
    if name.isdecimal():
        return int(name) if 1 <= int(name) <= 64 else None
    plain = name.upper().removeprefix("SIG")
    if match := re.fullmatch(r"RTMIN\+(\d{1,2})", plain):
        number = 34 + int(match[1])  # as the C library counts: it keeps two for itself
        return number if number <= 64 else None
    known = signal.Signals.__members__.get("SIG" + plain)
    return int(known) if known is not None else None
