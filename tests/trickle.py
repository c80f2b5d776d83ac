"""A TCP connection that is never idle: shows whether, and for how long, a change cut it.

`python -m tests.trickle serve PORT` echoes. `python -m tests.trickle run HOST PORT` sends a
number every 20 ms and reads it back until its standard input ends, then prints as JSON how
many came back and the longest pause in seconds. A connection that breaks ends it with an error.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time

INTERVAL = 0.02
PATIENCE = 15.0


def serve(port: int) -> None:
    with socket.create_server(("", port)) as server:
        connection, _ = server.accept()
        with connection:
            while data := connection.recv(4096):
                connection.sendall(data)


def run(host: str, port: int) -> None:
    echoed, longest = 0, 0.0
    with socket.create_connection((host, port), timeout=PATIENCE) as connection:
        while not select.select([sys.stdin], [], [], INTERVAL)[0]:
            sent = time.monotonic()
            connection.sendall(echoed.to_bytes(8, "big"))
            if not connection.recv(8, socket.MSG_WAITALL):
                sys.exit("the connection was closed")
            echoed += 1
            longest = max(longest, time.monotonic() - sent)
    sys.stdout.write(json.dumps({"echoed": echoed, "longest_pause": longest}))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve", port]:
            serve(int(port))
        case ["run", host, port]:
            run(host, int(port))
