"""Does tasks, one after the other, and acknowledges each when it is done.

Who has done a task is written to Redis. A task that is done a second time is the end: one line, and
exit code 1.
"""

import contextlib
import os
import random
import time
from pathlib import Path

import kombu
import redis
from queue_of_tasks import TASKS, connect

LONG = 0.25  # of all tasks take longer than most

chance = random.SystemRandom()
done = redis.Redis("redis")


def work(body, message):
    number = body["number"]
    again = ", delivered again" if message.delivery_info.get("redelivered") else ""
    print(f"task {number} begins{again}")
    time.sleep(chance.uniform(2.5, 5) if chance.random() < LONG else chance.uniform(0.2, 1))
    times = done.incr(f"done {number}")
    message.ack()
    print(f"task {number} done")
    if times > 1:
        print(f"task {number} was done {times} times")
        os._exit(1)


with connect() as connection, connection.Consumer(TASKS, callbacks=[work], prefetch_count=1):
    print(f"kombu {kombu.__version__}, redis-py {redis.__version__}")
    Path("/run/ready").touch()
    while True:
        with contextlib.suppress(TimeoutError):
            connection.drain_events(timeout=0.1)
