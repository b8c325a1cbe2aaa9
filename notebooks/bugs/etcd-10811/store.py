"""A number that clients read and write, one request in a connection.

``get TOKEN`` gives it, ``put TOKEN OLD NEW`` writes it. A token is the revision of etcd at which
the client got the lock. With FENCED=yes, a token older than the newest one that was seen is
refused. Whoever writes must have read what is there now; if he has not, an update is lost: one
line, and exit code 1.
"""

import os
import socket

fenced = os.environ["FENCED"] == "yes"
number = newest = 0

with socket.create_server(("", 7000)) as server:
    while True:
        connection, address = server.accept()
        with connection, connection.makefile("rw") as lines:
            what, token, *values = lines.readline().split()
            who = f"revision {token}"
            if fenced and int(token) < newest:
                print(f"{what} of {who} refused: revision {newest} has the lock")
                lines.write("refused\n")
                continue
            newest = max(newest, int(token))
            if what == "get":
                print(f"{number} read by {who}")
                lines.write(f"{number}\n")
                continue
            old, new = map(int, values)
            if old != number:
                print(f"{number} overwritten with {new} by {who}, which had read {old}")
                raise SystemExit(1)
            number = new
            print(f"{number} written by {who}")
            lines.write("written\n")
