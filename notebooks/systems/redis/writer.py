#!/usr/bin/python3 -SE
"""Writes numbered keys to the primary that the sentinels name, and checks that they stay.

usage: writer NAME SENTINEL…

Four times a second it sets ``NAME:NUMBER``, and says which of them were acknowledged. Every two
seconds it asks a sentinel who the primary is. When that is another one than before, it reads there
all that was ever acknowledged. What is missing is lost: a line for each, and the end with exit
code 1.
"""

from __future__ import annotations

import signal
import socket
import sys
import time
from pathlib import Path

PERIOD_SECONDS = 0.25
FOLLOW_EVERY = 8  # writes
TIMEOUT_SECONDS = 1.0  # of a connection and of an answer
SENTINEL_PORT = 26379
GROUP = "ledger"
READY = "/run/ready"  # there once a write was acknowledged


class Refused(Exception):
    """An error that the server answered with."""


class Server:
    """A connection that speaks RESP, the protocol of Redis."""

    def __init__(self, address: str) -> None:
        self.address = address
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), TIMEOUT_SECONDS)
        self._input = self._socket.makefile("rb")

    def call(self, *words: str) -> object:
        """A command's answer: text, number, list or None. OSError, Refused when there is none."""
        parts = [f"*{len(words)}\r\n"]
        parts += [f"${len(word.encode())}\r\n{word}\r\n" for word in words]
        self._socket.sendall("".join(parts).encode())
        return self._answer()

    def _answer(self) -> object:
        line = self._input.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("connection closed")
        kind, rest = line[:1], line[1:-2].decode()
        match kind:
            case b"+":
                return rest
            case b"-":
                raise Refused(rest)
            case b":":
                return int(rest)
            case b"$":
                return None if rest == "-1" else self._input.read(int(rest) + 2)[:-2].decode()
            case b"*":
                return [self._answer() for _ in range(int(rest))]
        raise ConnectionError(f"{line!r} is not RESP")

    def close(self) -> None:
        self._socket.close()


class Writer:
    """One client of the whole group."""

    def __init__(self, name: str, sentinels: list[str]) -> None:
        self.name = name
        self.sentinels = sentinels
        self.primary: Server | None = None
        self.number = 0
        self.acknowledged: dict[str, str] = {}  # key: who acknowledged it

    def find_primary(self) -> Server:
        """Ask the sentinels in turn; the first one counts that answers and names a real primary."""
        for sentinel in self.sentinels:
            asking = sentinel
            try:
                address = named_by(sentinel)
                if self.primary and self.primary.address == address:
                    return self.primary
                asking = f"{address}, named by {sentinel}"
                server = Server(address)
                if server.call("ROLE")[0] == "master":
                    say(f"{sentinel} names {address} as primary")
                    return server
                say(f"{asking}, is no primary")
                server.close()
            except (OSError, Refused) as error:
                say(f"{asking}: {error}")
        raise ConnectionError("no sentinel leads to a primary")

    def follow(self) -> None:
        """Go to the primary; when that is another one, see whether everything is there."""
        before, self.primary = self.primary, self.find_primary()
        if before and before is not self.primary:
            before.close()
        if before is not self.primary and self.acknowledged:
            self.check()

    def write(self) -> None:
        """Set the next key."""
        if self.primary is None or self.number % FOLLOW_EVERY == 0:
            self.follow()
        self.number += 1
        key = f"{self.name}:{self.number}"
        try:
            self.primary.call("SET", key, str(self.number))
        except (OSError, Refused) as error:
            say(f"{key} not acknowledged by {self.primary.address}: {error}")
            self.primary.close()
            self.primary = None
        else:
            self.acknowledged[key] = self.primary.address
            say(f"{key} acknowledged by {self.primary.address}")

    def check(self) -> None:
        """Read everything that was acknowledged."""
        keys = list(self.acknowledged)
        values = self.primary.call("MGET", *keys)
        lost = [key for key, value in zip(keys, values, strict=True) if value is None]
        for key in lost:
            say(f"lost {key}, acknowledged by {self.acknowledged[key]}")
        say(f"{len(lost)} of {len(keys)} acknowledged writes are not at {self.primary.address}")
        if lost:
            sys.exit(1)


def named_by(sentinel: str) -> str:
    """The primary's address as a sentinel knows it."""
    asked = Server(f"{sentinel}:{SENTINEL_PORT}")
    address = ":".join(asked.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", GROUP))
    asked.close()
    return address


def say(text: str) -> None:
    print(text, flush=True)


def main(name: str, sentinels: list[str]) -> None:
    # The kernel ignores SIGTERM for the first process of a container unless it has a handler.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    writer = Writer(name, sentinels)
    while True:
        begin = time.monotonic()
        try:
            writer.write()
        except (OSError, Refused) as error:
            say(str(error))
        if len(writer.acknowledged) == 1:
            Path(READY).touch()
        time.sleep(max(0.0, begin + PERIOD_SECONDS - time.monotonic()))


main(sys.argv[1], sys.argv[2:])
