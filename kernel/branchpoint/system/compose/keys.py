"""Which keys of a compose file are accepted without effect, and which are refused, and why.

Every key of the compose specification is either read (:mod:`service`, :mod:`reading`) or listed
here; any other key is an error. No key is ignored silently.
"""

from __future__ import annotations

# Accepted with a note: they cannot change what runs inside the machine.
SERVICE_NOTES = {
    "annotations": "nothing reads them in the machine",
    "attach": "all output is recorded",
    "blkio_config": "there is no block device in the machine",
    "cgroup": "every container has its own cgroup namespace",
    "cgroup_parent": "all containers of the machine are in one control group",
    "cpu_count": "it is for Windows containers",
    "cpu_percent": "it is for Windows containers",
    "cpuset": "the machine has one processor",
    "develop": "it concerns editing, not running",
    "device_cgroup_rules": "the machine has no devices for containers",
    "expose": "all ports are reachable inside the system's networks",
    "isolation": "it is for Windows containers",
    "label_file": "nothing reads labels in the machine",
    "labels": "nothing reads labels in the machine",
    "logging": "all output is recorded",
    "mem_reservation": "the machine's memory is not shared with others",
    "mem_swappiness": "there is no swap in the machine",
    "memswap_limit": "there is no swap in the machine",
    "oom_kill_disable": "control groups of today have no such setting",
    "pid": "every container has its own PID namespace",
    "ports": "the machine has no network outside; run commands on a branch to reach services",
    "pre_stop": "no compose command stops containers in the machine",
    "pull_policy": "images are never pulled",
    "stdin_open": "standard input is at its end from the start; a shell that reads it ends at once",
    "storage_opt": 'the writable layer\'s size is "upper" in the top-level "x-branchpoint"',
    "tty": "output goes through pipes; a terminal can be opened on a branch",
    "use_api_socket": "there is no engine in the machine",
    "userns_mode": "containers share the machine's users",
    "uts": "every container has its own host name",
}

# Refused, with what to do instead.
SERVICE_REFUSED = {
    "cpu_rt_period": "containers cannot get real-time CPU time: remove it",
    "cpu_rt_runtime": "containers cannot get real-time CPU time: remove it",
    "credential_spec": "it is for Windows containers: remove it",
    "devices": "the machine has no devices for containers: remove it",
    "external_links": "nothing outside the machine can be reached: define the service here",
    "gpus": "the machine has no GPU: remove it",
    "ipc": "every container has its own IPC namespace: remove it",
    "mac_address": "it is derived from ipv4_address: remove it",
    "models": "run the model as a service",
    "post_start": "do it in the entrypoint",
    "provider": "run it as a service",
    "runtime": "containers are run by crun: remove it",
}

TOP_NOTES = {
    "version": "the current compose specification applies to every file",
}

TOP_REFUSED = {
    "models": "run the model as a service",
}
