"""When containers start, when they count as healthy, and when they restart."""

from __future__ import annotations

from branchpoint.system.compose.services import commands
from branchpoint.system.compose.tree import fields
from branchpoint.system.compose.tree.yamltree import Mapping, Scalar, Sequence, Value
from branchpoint.system.model import (
    Condition,
    Dependency,
    Healthcheck,
    Hook,
    Note,
    Restart,
    RestartPolicy,
)

_CONDITIONS: dict[str, Condition] = {
    "service_started": "started",
    "service_healthy": "healthy",
    "service_completed_successfully": "completed",
}
_POLICIES: dict[str, RestartPolicy] = {
    "": "no",
    "no": "no",
    "none": "no",
    "always": "always",
    "any": "always",
    "on-failure": "on-failure",
    "unless-stopped": "unless-stopped",
}
"""``restart`` and the conditions of ``restart_policy``, which the engine takes alike."""
_LEAST_INTERVAL = 1_000_000  # ns


def read_depends(value: Value, notes: list[Note]) -> tuple[Dependency, ...]:
    """``depends_on``, as a list of names or with a condition for each."""
    if isinstance(value, Sequence):
        return tuple(
            Dependency(fields.text(item, 'each of "depends_on"'), "started", item.line)
            for item in value.items
        )
    return tuple(
        _dependency(name, entry, notes) for name, entry in fields.items(value, '"depends_on"')
    )


def _dependency(name: str, entry: Value, notes: list[Note]) -> Dependency:
    where = f'the dependency on "{name}"'
    options = fields.mapping(entry, where)
    fields.check_keys(options, ["condition", "restart", "required"], where)
    entries = options.entries
    if "condition" not in entries:
        raise entry.error(f'{where} lacks "condition"', "condition: service_started")
    condition = fields.choice(entries["condition"], '"condition"', list(_CONDITIONS))
    if "restart" in entries and fields.boolean(entries["restart"], '"restart"'):
        text = f'"restart" of {where} has no effect: it concerns only compose commands'
        notes.append(Note(options.key_lines["restart"], text))
    required = "required" not in entries or fields.boolean(entries["required"], '"required"')
    return Dependency(name, _CONDITIONS[condition], options.key_lines["condition"], required)


def read_healthcheck(value: Value) -> Healthcheck:
    """``healthcheck``; what it leaves open comes from the image."""
    body = fields.mapping(value, '"healthcheck"')
    entries = body.entries
    durations = ("interval", "timeout", "start_period", "start_interval")
    fields.check_keys(body, ["test", *durations, "retries", "disable"], '"healthcheck"')
    if "disable" in entries and fields.boolean(entries["disable"], '"disable"'):
        return Healthcheck(disabled=True)
    test = _health_test(entries["test"]) if "test" in entries else None
    times = {key: fields.duration(entries[key], f'"{key}"') for key in durations if key in entries}
    for key in ("interval", "timeout", "start_interval"):
        if 0 < times.get(key, 0) < _LEAST_INTERVAL:
            raise entries[key].error(f'"{key}" must be at least 1ms')
    retries = 0
    if "retries" in entries:
        retries = fields.integer(entries["retries"], '"retries"', 0, 1000)
    return Healthcheck(
        test or None,
        times.get("interval") or None,  # 0 means the default, as in docker
        times.get("timeout") or None,
        retries or None,
        times.get("start_period"),
        times.get("start_interval") or None,
        disabled=test == (),
    )


def _health_test(value: Value) -> tuple[str, ...] | None:
    """The test, with CMD or CMD-SHELL in front; () for NONE, and None for that of the image."""
    if isinstance(value, Scalar):
        return ("CMD-SHELL", fields.text(value, '"test"'))
    words = fields.texts(value, '"test"')
    if not words:
        return None
    if words[0] == "NONE":
        return ()
    if words[0] not in ("CMD", "CMD-SHELL"):
        raise value.error(
            f'a health test starts with CMD, CMD-SHELL or NONE, not "{words[0]}"',
            f'write ["CMD", "{words[0]}", ...]',
        )
    if len(words) < 2:
        raise value.error(f"{words[0]} needs a command")
    if words[0] == "CMD-SHELL" and len(words) > 2:
        raise value.error("CMD-SHELL takes one line", 'write it as one string, or use "CMD"')
    return tuple(words)


def read_post_start(value: Value, notes: list[Note]) -> tuple[Hook, ...]:
    """``post_start``: commands to run once a container has started, one after the other."""
    found = []
    for item in fields.sequence(value, '"post_start"').items:
        where = 'each of "post_start"'
        body = fields.mapping(item, where)
        known = ["command", "user", "privileged", "working_dir", "environment"]
        fields.check_keys(body, known, where)
        entries = body.entries
        if "command" not in entries:
            raise item.error(f'{where} needs "command"')
        command = commands.argv(entries["command"], '"command"', notes)
        if not command:
            raise entries["command"].error('"command" is empty')
        given = entries.get("environment")
        pairs = [] if given is None else fields.pairs(given, '"environment"')
        found.append(
            Hook(
                command,
                fields.text(entries["user"], '"user"') if "user" in entries else None,
                "privileged" in entries and fields.boolean(entries["privileged"], '"privileged"'),
                fields.path(entries["working_dir"], '"working_dir"')
                if "working_dir" in entries
                else None,
                {key: text or "" for key, text, _ in pairs},
            )
        )
    return tuple(found)


def read_restart(value: Value) -> Restart:
    """``restart``: no, always, unless-stopped, on-failure or on-failure:N."""
    written = fields.text(value, '"restart"')
    name, colon, limit = written.partition(":")
    policy = _POLICIES.get(name)
    if policy == "on-failure" and (not colon or (limit.isdecimal() and len(limit) < 10)):
        return Restart(policy, int(limit or 0))
    if policy is not None and policy != "on-failure" and not colon:
        return Restart(policy)
    policies = ("no", "always", "on-failure", "unless-stopped")
    hint = fields.nearest(name, policies) or f"one of: {', '.join(policies)}"
    raise value.error(f'"restart" cannot be "{written}"', hint)


def read_restart_policy(body: Mapping, notes: list[Note]) -> Restart:
    """``deploy.restart_policy``; as in docker compose, delay and window have no effect."""
    where = '"restart_policy"'
    fields.check_keys(body, ["condition", "delay", "max_attempts", "window"], where)
    entries = body.entries
    for key in ("delay", "window"):
        if key in entries:
            fields.duration(entries[key], f'"{key}"')
            text = f'"{key}" of {where} has no effect: restarts back off from 100 ms'
            notes.append(Note(body.key_lines[key], text))
    policy: RestartPolicy = "no"
    if "condition" in entries:
        policy = _POLICIES[fields.choice(entries["condition"], '"condition"', list(_POLICIES))]
    else:
        text = f'{where} without "condition" restarts nothing, as with docker compose: write it'
        notes.append(Note(body.line, text))
    limit = 0
    if "max_attempts" in entries:
        limit = fields.integer(entries["max_attempts"], '"max_attempts"', 0, 1 << 30)
    if limit and policy != "on-failure" and "condition" in entries:
        message = '"max_attempts" is for "condition: on-failure" only'
        raise entries["max_attempts"].error(message, "write that condition, or remove it")
    return Restart(policy, limit if policy == "on-failure" else 0)
