"""The manual's page of compose keys: ``python -m branchpoint.system.compose.page``."""

from __future__ import annotations

from branchpoint.system.compose import keys

_HEAD = """\
# The keys of a compose file

Made from the code by `make docs`. A key that has no effect gives a note when the system is
recorded; a key that is refused is an error with file and line. Any other key is an error, too,
unless it begins with `x-`. The keys under `x-branchpoint` are in
[your own system](your-system.ipynb)."""

_PARTS = {
    "The file": keys.TOP,
    "A service": keys.SERVICE,
    "`build` of a service": keys.BUILD,
    "`deploy` of a service": keys.DEPLOY,
    "`networks` of a service": keys.ATTACHMENT,
    "A network": keys.NETWORK,
    "A volume": keys.VOLUME,
    "A secret or config": keys.GRANT,
}


def page() -> str:
    """The page, in Markdown."""
    return "\n\n".join([_HEAD, *(_part(title, part) for title, part in _PARTS.items())]) + "\n"


def _part(title: str, part: keys.Keys) -> str:
    rows = [
        *((key, *_state(remark)) for key, remark in part.done.items()),
        *((key, "no effect", reason) for key, reason in part.noted.items()),
        *((key, "refused", reason) for key, reason in part.refused.items()),
    ]
    lines = [f"## {title}", "", "| key | | |", "|---|---|---|"]
    lines += [f"| `{key}` | {state} | {words} |" for key, state, words in sorted(rows)]
    return "\n".join(lines)


def _state(remark: str) -> tuple[str, str]:
    """What becomes of a key that is read, and the remark about it without that."""
    state, _, words = remark.partition(": ")
    return (state, words) if state in ("no effect", "refused") else ("supported", remark)


if __name__ == "__main__":
    print(page(), end="")
