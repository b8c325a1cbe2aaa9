"""The system calls that containers are refused, as the usual engines refuse them.

Docker's default profile lists what is allowed. Here stands what that leaves out of the calls of
Linux on amd64, so that a program which asks for one of them fails here, too. What a profile forbids
to all, it forbids unless the container has a certain capability.
"""

from __future__ import annotations

import errno
from collections.abc import Collection
from typing import Any

_NEW_NAMESPACES = {
    "cgroup": 0x02000000, "uts": 0x04000000, "ipc": 0x08000000, "user": 0x10000000,
    "pid": 0x20000000, "net": 0x40000000, "mount": 0x00020000,
}  # fmt: skip
_AF_VSOCK = 40

# Capabilities, one of which is enough -> the calls that it allows; none: nobody may make them.
_FORBIDDEN: dict[tuple[str, ...], str] = {
    (): "_sysctl add_key create_module get_kernel_syms io_uring_enter io_uring_register "
        "io_uring_setup kexec_file_load kexec_load keyctl migrate_pages move_pages nfsservctl "
        "pivot_root query_module request_key swapoff swapon sysfs uselib userfaultfd ustat",
    ("SYS_ADMIN",): "fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount "
                    "mount_setattr move_mount open_tree quotactl quotactl_fd setdomainname "
                    "sethostname setns umount2 unshare",
    ("SYS_ADMIN", "BPF"): "bpf",
    ("SYS_ADMIN", "PERFMON"): "perf_event_open",
    ("SYS_ADMIN", "SYSLOG"): "syslog",
    ("DAC_READ_SEARCH",): "open_by_handle_at",
    ("SYS_BOOT",): "reboot",
    ("SYS_CHROOT",): "chroot",
    ("SYS_MODULE",): "delete_module finit_module init_module",
    ("SYS_NICE",): "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    ("SYS_PACCT",): "acct",
    ("SYS_PTRACE",): "kcmp pidfd_getfd process_madvise",
    ("SYS_RAWIO",): "ioperm iopl",
    ("SYS_TIME",): "clock_settime settimeofday",
    ("SYS_TTY_CONFIG",): "vhangup",
}  # fmt: skip


def profile(capabilities: Collection[str]) -> dict[str, Any]:
    """The ``seccomp`` part of a runtime configuration for a container with these capabilities
    (with CAP_).
    """
    refused = [
        name
        for needed, names in _FORBIDDEN.items()
        if not any(f"CAP_{each}" in capabilities for each in needed)
        for name in names.split()
    ]
    rules = [_rule(sorted(refused)), _rule(["socket"], 0, _AF_VSOCK)]
    if "CAP_SYS_ADMIN" not in capabilities:
        rules += [_rule(["clone"], 0, flag, flag) for flag in sorted(_NEW_NAMESPACES.values())]
        # Libraries take clone in its place then; a filter cannot see the flags of this one.
        rules.append(_rule(["clone3"], error=errno.ENOSYS))
    return {
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": rules,
    }


def _rule(
    names: list[str], argument: int | None = None, value: int = 0, mask: int | None = None,
    error: int = errno.EPERM,
) -> dict[str, Any]:  # fmt: skip
    rule: dict[str, Any] = {"names": names, "action": "SCMP_ACT_ERRNO", "errnoRet": error}
    if argument is not None and mask is not None:
        rule["args"] = [
            {"index": argument, "value": mask, "valueTwo": value, "op": "SCMP_CMP_MASKED_EQ"}
        ]
    elif argument is not None:
        rule["args"] = [{"index": argument, "value": value, "op": "SCMP_CMP_EQ"}]
    return rule
