# pathlib takes longer to import than everything else here together:
# ruff: noqa: PTH103
"""The command line: `aria SERVICE --option value …` and `aria admin …`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from functools import partial

from . import address

DATA = "/var/lib/aria"  # where every service keeps its files

USAGE = """\
usage: aria sequencer         --listen=HOST:PORT
       aria tip-retransmitter --listen=HOST:PORT --sequencer=HOST:PORT --snapshot-every=SECONDS
       aria archive           --listen=HOST:PORT --sequencer=HOST:PORT
       aria publisher         --sequencer=HOST:PORT --messages-per-second=N
       aria replicator        --server=HOST:PORT [--server=…] --batch-every=SECONDS
       aria admin get-latest-snapshot [-max-stream-time RFC3339]

Files are kept in /var/lib/aria, or where --data says.
"""


class UsageError(Exception):
    pass


class Options:
    """`--name=value` or `-name value`; where one value is wanted, the last one counts."""

    def __init__(self, arguments: list[str]) -> None:
        self._values: dict[str, list[str]] = {}
        rest = iter(arguments)
        for argument in rest:
            if not argument.startswith("-"):
                raise UsageError(f"unexpected {argument!r}")
            name, equals, value = argument.lstrip("-").partition("=")
            if not equals and (value := next(rest, "")) == "":
                raise UsageError(f"{argument} has no value")
            self._values.setdefault(name, []).append(value)

    def all(self, name: str) -> list[str]:
        if name not in self._values:
            raise UsageError(f"--{name} is missing")
        return self._values.pop(name)

    def one(self, name: str, default: str | None = None) -> str:
        if default is not None and name not in self._values:
            return default
        return self.all(name)[-1]

    def addresses(self, name: str) -> list[tuple[str, int]]:
        try:
            return [address.parse(value) for value in self.all(name)]
        except ValueError as error:
            raise UsageError(f"--{name}: {error}") from None

    def address(self, name: str) -> tuple[str, int]:
        return self.addresses(name)[-1]

    def number(self, name: str) -> float:
        value = self.one(name)
        try:
            return float(value)
        except ValueError:
            raise UsageError(f"--{name} wants a number, got {value!r}") from None

    def instant(self, name: str) -> int | None:
        from . import times

        value = self.one(name, "")
        try:
            return times.parse(value) if value else None
        except ValueError as error:
            raise UsageError(f"-{name}: {error}") from None

    def directory(self) -> str:
        path = self.one("data", DATA)
        os.makedirs(path, exist_ok=True)
        return path

    def done(self) -> None:
        if self._values:
            raise UsageError(f"unknown option --{next(iter(self._values))}")


def main(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        sys.stdout.write(USAGE)
        return 0
    # The kernel ignores SIGTERM for the first process of a container unless it has a handler.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        if arguments[0] == "admin":
            return _admin(arguments[1:])
        service = _service(arguments[0], Options(arguments[1:]))
    except UsageError as error:
        sys.stderr.write(f"aria: {error}\n{USAGE}")
        return 2
    service()
    return 0


def _admin(arguments: list[str]) -> int:
    from . import snapshot

    if arguments[:1] != ["get-latest-snapshot"]:
        raise UsageError(f"unknown admin command {' '.join(arguments[:1])!r}")
    options = Options(arguments[1:])
    limit, directory = options.instant("max-stream-time"), options.directory()
    options.done()
    text = snapshot.latest(directory, limit)
    if text is None:
        sys.stderr.write(f"aria: no such snapshot in {directory}\n")
        return 1
    sys.stdout.write(text)
    return 0


def _service(name: str, options: Options) -> Callable[[], None]:
    """What runs the service, not yet running; imports only what that service needs."""
    run: Callable[[], None]
    if name == "sequencer":
        from . import sequencer

        run = partial(sequencer.run, options.address("listen"), options.directory())
    elif name == "tip-retransmitter":
        from . import retransmitter

        run = partial(
            retransmitter.run,
            options.address("listen"),
            options.address("sequencer"),
            options.directory(),
            options.number("snapshot-every"),
        )
    elif name == "archive":
        from . import archive

        run = partial(
            archive.run,
            options.address("listen"),
            options.address("sequencer"),
            options.directory(),
        )
    elif name == "publisher":
        from . import publisher

        run = partial(
            publisher.run, options.address("sequencer"), options.number("messages-per-second")
        )
    elif name == "replicator":
        from . import replicator

        run = partial(
            replicator.run,
            options.addresses("server"),
            options.directory(),
            options.number("batch-every"),
        )
    else:
        raise UsageError(f"unknown service {name!r}")
    options.done()
    return run
