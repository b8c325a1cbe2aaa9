#!/usr/bin/python3 -SE
"""A light load on an etcd cluster: puts a value through one node and reads it through another.

usage: load HOST:PORT …   (the nodes' client addresses)

Four times a second it writes or reads one of a few keys, over etcd's JSON gateway, and checks
what it reads: the value of the last put that was acknowledged, or of a later or concurrent put
whose outcome is unknown because a node did not answer. Anything else ends it with exit code 1.
"""

from __future__ import annotations

import binascii
import json
import os
import signal
import socket
import sys
import time

KEYS = 8
PAUSE_SECONDS = 0.25
TIMEOUT_SECONDS = 3.0
REPORT_EVERY = 40  # operations


class Node:
    """A node's JSON gateway."""

    def __init__(self, address: str) -> None:
        self.address = address

    def call(self, path: str, body: dict[str, str]) -> dict:
        """POSTs ``body`` and returns the answer; OSError when the node cannot do it."""
        data = json.dumps(body).encode()
        # HTTP/1.0: the answer ends where the connection ends.
        head = f"POST {path} HTTP/1.0\r\nContent-Length: {len(data)}\r\n\r\n"
        host, _, port = self.address.rpartition(":")
        answer = b""
        with socket.create_connection((host, int(port)), TIMEOUT_SECONDS) as connection:
            connection.sendall(head.encode() + data)
            while received := connection.recv(65536):
                answer += received
        head, _, content = answer.decode().partition("\r\n\r\n")
        if " 200 " not in head.partition("\r\n")[0]:
            raise OSError(f"{content or head or 'no answer'!r}")
        return json.loads(content)


def encode(text: str) -> str:
    return binascii.b2a_base64(text.encode(), newline=False).decode()


class Register:
    """One key: the values that a read may return."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.settled = ""  # of the last put that was acknowledged; "" before the first
        self.unknown: list[str] = []  # of puts that may or may not have happened

    def put(self, node: Node, value: str) -> None:
        self.unknown.append(value)
        node.call("/v3/kv/put", {"key": encode(self.name), "value": encode(value)})
        self.unknown.remove(value)
        self.settled = value

    def check(self, node: Node) -> None:
        found = node.call("/v3/kv/range", {"key": encode(self.name)}).get("kvs", [])
        value = binascii.a2b_base64(found[0]["value"]).decode() if found else ""
        if value in self.unknown:
            self.unknown.remove(value)
            self.settled = value
        elif value != self.settled:
            sys.exit(
                f"{self.name} read from {node.address} is {value!r}; "
                f"written {self.settled!r}, perhaps {self.unknown}"
            )


def main(addresses: list[str]) -> None:
    # The kernel ignores SIGTERM for the first process of a container unless it has a handler.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    nodes = [Node(address) for address in addresses]
    registers = [Register(f"key-{number}") for number in range(KEYS)]
    done = failed = 0
    while True:
        random = os.urandom(9)
        node = nodes[random[0] % len(nodes)]
        register = registers[random[1] % KEYS]
        try:
            if random[2] < 128:
                register.put(node, f"{done} {random[3:].hex()}")
            else:
                register.check(node)
            done += 1
        except OSError as error:
            failed += 1
            print(f"{node.address}: {error}", flush=True)
        if (done + failed) % REPORT_EVERY == 0:
            print(f"{done} operations done, {failed} failed, all reads as expected", flush=True)
        time.sleep(PAUSE_SECONDS)


main(sys.argv[1:])
