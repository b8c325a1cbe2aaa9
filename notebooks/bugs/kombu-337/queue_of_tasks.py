"""How the producer and the workers reach the queue."""

import os

import kombu

TASKS = kombu.Queue("tasks")


def connect():
    visible = float(os.environ["VISIBLE"])
    return kombu.Connection(
        "redis://redis//",
        transport_options={"visibility_timeout": visible, "unacked_mutex_expire": 1},
    )
