"""Reads the number, works for a while, writes one more. etcdctl starts it with the lock held."""

import os
import random
import socket
import time


def ask(*words):
    with (
        socket.create_connection(("store", 7000)) as connection,
        connection.makefile("rw") as lines,
    ):
        print(*words, file=lines, flush=True)
        return lines.readline().strip()


token = os.environ["ETCD_LOCK_REV"]
number = ask("get", token)
if number.isdigit():
    time.sleep(random.SystemRandom().uniform(0.2, 1))
    ask("put", token, number, int(number) + 1)
