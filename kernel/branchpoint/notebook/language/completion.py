"""Completion of names that come from the open recordings: containers and types of events."""

from __future__ import annotations

import re
from typing import Any

from IPython.core.completer import (
    CompletionContext,
    SimpleCompletion,
    SimpleMatcherResult,
    context_matcher,
)

import branchpoint as bp
from branchpoint.notebook.session import Environment

_TEXT = r"([\w.*-]*)$"
_CONTAINER = re.compile(
    r"""(?: \bcontainers?\s*=\s*\[?\s*["']                          # container = '…
          | \.(?:run|run_in_background)\( [^()"']* ,\s* ["']        # .run(branch, '…
          | ^%%bash\b .* \s --container (?:\s+|=) ["']?             # %%bash --container …
        )"""
    + _TEXT,
    re.VERBOSE,
)
_QUERY = r"""(?: \bwait_until\(\s* | \buntil\s*[=:]\s* ) ["']"""
_QUERIED_CONTAINER = re.compile(_QUERY + "(?:exit|log):" + _TEXT, re.VERBOSE)
_TYPE = re.compile(
    rf"""(?: \btype\s*=\s*\[?\s*["'] | {_QUERY} event: )""" + _TEXT,
    re.VERBOSE,
)
_MOMENT = re.compile(r"""\.moments\(\s*["']""" + _TEXT)


def install(shell: Any) -> None:
    """Add the completer of names to ``shell``."""

    @context_matcher(identifier="branchpoint")
    def names(context: CompletionContext) -> SimpleMatcherResult:
        return _complete(context.text_until_cursor, shell.user_ns)

    shell.Completer.custom_matchers.append(names)


def _complete(line: str, namespace: dict[str, Any]) -> SimpleMatcherResult:
    """Names that fit at the end of ``line``. When there are any, nothing else is offered."""
    for pattern, source in _SOURCES:
        match = pattern.search(line)
        if match:
            found = [name for name in source(namespace) if name.startswith(match[1])]
            return {
                "completions": [SimpleCompletion(name, type="text") for name in found],
                "matched_fragment": match[1],
                "suppress": bool(found),
            }
    return {"completions": []}


def _recordings(namespace: dict[str, Any]) -> list[Any]:
    """The recordings in the notebook's variables, and those of its moments and branches."""
    found = {}
    for value in list(namespace.values()):
        if isinstance(value, bp.Moment | bp.Branch | Environment):
            value = value.run
        if isinstance(value, bp.Recording):
            found[id(value)] = value
    return list(found.values())


def _containers(namespace: dict[str, Any]) -> list[str]:
    return sorted({c.name for run in _recordings(namespace) for c in run.manifest.containers})


def _types(namespace: dict[str, Any]) -> list[str]:
    columns = [run.events.columns for run in _recordings(namespace)]
    return sorted({c.names.known[code] for c in columns for code in set(c.type.tolist())})


def _short_types(namespace: dict[str, Any]) -> list[str]:
    """Types as ``run.moments`` takes them: "exit" stands for "container.exit"."""
    return sorted(name.removeprefix("container.") for name in _types(namespace))


_SOURCES = (
    (_CONTAINER, _containers),
    (_QUERIED_CONTAINER, _containers),
    (_TYPE, _types),
    (_MOMENT, _short_types),
)
