"""The yardstick of event streams: uvicorn with an application that sends a line to all who listen, and nothing more."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Any

LISTENERS: set[asyncio.Queue[bytes]] = set()
LINE = b'id: 1234\nevent: change\ndata: [["tenant","ten-000000000000"]]\n\n'


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await _live(receive, send)
        return
    queue: asyncio.Queue[bytes] = asyncio.Queue()
    LISTENERS.add(queue)
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"event: hello\ndata: \n\n", "more_body": True})
    while True:
        await send({"type": "http.response.body", "body": await queue.get(), "more_body": True})


async def _live(receive: Any, send: Any) -> None:
    await receive()
    line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    line.bind(os.environ["TELL"])
    line.setblocking(False)
    asyncio.get_running_loop().add_reader(line.fileno(), _tell, line)
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


def _tell(line: socket.socket) -> None:
    line.recv(100)
    for queue in LISTENERS:
        queue.put_nowait(LINE)
