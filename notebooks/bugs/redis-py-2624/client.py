"""Reads the values of several users, each at its own pace, over one pool of connections.

A read may take TIMEOUT seconds; then the user is told to try again. A user who gets the value of
another user is the end: one line, and exit code 1.
"""

import asyncio
import os
import random
import sys
from pathlib import Path

import redis.asyncio

USERS = ["ann", "bob", "cleo", "dan"]
TIMEOUT = 0.1
PAUSE = (0.2, 1)

chance = random.SystemRandom()


async def serve(user, client):
    while True:
        await asyncio.sleep(chance.uniform(*PAUSE))
        try:
            value = await asyncio.wait_for(client.get(f"name of {user}"), TIMEOUT)
        except TimeoutError:
            print(f"{user} has to try again")
            continue
        if value != user:
            print(f"{user} gets the value of {value}")
            os._exit(1)


async def main():
    client = redis.asyncio.Redis(host="redis", decode_responses=True)
    for user in USERS:
        await client.set(f"name of {user}", user)
    print(f"redis-py {redis.__version__}, Python {sys.version.split()[0]}")
    Path("/run/ready").touch()
    await asyncio.gather(*(serve(user, client) for user in USERS))


asyncio.run(main())
