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
    "cpuset": "the machine has one processor",
    "develop": "it concerns editing, not running",
    "expose": "all ports are reachable inside the system's networks",
    "label_file": "nothing reads labels in the machine",
    "labels": "nothing reads labels in the machine",
    "logging": "all output is recorded",
    "mem_reservation": "the machine's memory is not shared with others",
    "mem_swappiness": "there is no swap in the machine",
    "memswap_limit": "there is no swap in the machine",
    "ports": "the machine has no network outside; run commands on a branch to reach services",
    "pull_policy": "images are never pulled",
}

# Refused, with what to do instead.
SERVICE_REFUSED = {
    "cgroup": "every container has its own cgroup namespace: remove it",
    "cgroup_parent": "remove it",
    "configs": 'mount the file instead: volumes: ["./file:/path:ro"]',
    "cpu_count": 'use "cpus"',
    "cpu_percent": 'use "cpus"',
    "cpu_period": 'use "cpus"',
    "cpu_quota": 'use "cpus"',
    "cpu_rt_period": "containers cannot get real-time CPU time: remove it",
    "cpu_rt_runtime": "containers cannot get real-time CPU time: remove it",
    "credential_spec": "it is for Windows containers: remove it",
    "device_cgroup_rules": "the machine has no devices for containers: remove it",
    "devices": "the machine has no devices for containers: remove it",
    "dns": "names resolve by /etc/hosts: run a name server as a service if one is needed",
    "dns_opt": "names resolve by /etc/hosts: remove it",
    "dns_search": "names resolve by /etc/hosts: remove it",
    "extends": "copy the keys here, or share them with a YAML anchor (&name, <<: *name)",
    "external_links": "nothing outside the machine can be reached: define the service here",
    "gpus": "the machine has no GPU: remove it",
    "ipc": "every container has its own IPC namespace: remove it",
    "isolation": "it is for Windows containers: remove it",
    "links": "services find each other by name in a shared network; use its aliases",
    "mac_address": "it is derived from ipv4_address: remove it",
    "models": "run the model as a service",
    "oom_kill_disable": "remove it",
    "pid": "every container has its own PID namespace: remove it",
    "post_start": "do it in the entrypoint",
    "pre_stop": "do it in the handler of the stop signal",
    "provider": "run it as a service",
    "runtime": "containers are run by crun: remove it",
    "secrets": 'mount the file instead: volumes: ["./secret:/run/secrets/secret:ro"]',
    "stdin_open": "standard input is /dev/null; to keep a container alive: command: sleep infinity",
    "storage_opt": 'the writable layer\'s size is "upper" in the top-level "x-branchpoint"',
    "tty": "output goes through pipes; to keep a container alive: command: sleep infinity",
    "use_api_socket": "there is no engine to talk to: remove it",
    "userns_mode": "containers share the machine's users: remove it",
    "uts": "every container has its own host name: remove it",
    "volumes_from": "name a volume and mount it in both services",
}

TOP_NOTES = {
    "version": "the current compose specification applies to every file",
}

TOP_REFUSED = {
    "configs": 'mount files instead: volumes: ["./file:/path:ro"]',
    "include": "copy the services here",
    "models": "run the model as a service",
    "secrets": 'mount files instead: volumes: ["./secret:/run/secrets/secret:ro"]',
}
