"""A publisher: sends a message every now and then and waits until the sequencer has taken it."""

from __future__ import annotations

import os
import socket
import time

from . import address, wire
from .client import Client
from .log import log

TIMEOUT_SECONDS = 2.0
RETRY_SECONDS = 0.5
REPORT_EVERY = 40  # messages


def draw(low: int, high: int) -> int:
    """A random number, low ≤ n < high."""
    return low + int.from_bytes(os.urandom(4), "little") * (high - low) // 2**32


def run(sequencer: tuple[str, int], messages_per_second: float) -> None:
    name = socket.gethostname().encode()
    mean_ms = int(1000 / messages_per_second)
    number = 0
    client = None
    while True:
        try:
            if client is None:
                client = Client(sequencer, TIMEOUT_SECONDS)
                log(f"connected to the sequencer at {client.remote}")
            number += 1
            order = f"order {number} {os.urandom(draw(60, 240)).hex()}".encode()
            client.send(wire.pack(wire.PUBLISH, 0, name + b"\0" + order))
            if client.receive().op != wire.ACCEPTED:
                raise wire.ProtocolError("expected the sequencer to accept the message")
            if number % REPORT_EVERY == 0:
                log(f"{number} messages published")
        except (OSError, wire.ProtocolError) as error:
            log(f"sequencer at {address.show(sequencer)}: {error}")
            if client:
                client.close()
                client = None
            time.sleep(RETRY_SECONDS)
        time.sleep(draw(mean_ms // 2, mean_ms * 3 // 2) / 1000)
