"""A carrier over TLS that is busy. Run as a program in a side's namespace.

    tls_callee.py ADDRESS CERTIFICATE PEER

Shows CERTIFICATE (.crt, .key), wants one that PEER (a file) vouches for, and answers each INVITE with 486. Prints
whatever it is sent.
"""

from __future__ import annotations

import re
import socket
import ssl
import sys

COPIED = re.compile(r"(?im)^(?:via|from|to|call-id|cseq):.*$")


def answer(request: str) -> bytes:
    lines = [line.rstrip("\r") for line in COPIED.findall(request)]
    to = next(place for place, line in enumerate(lines) if line.lower().startswith("to:"))
    lines[to] += ";tag=busy"
    return "\r\n".join(["SIP/2.0 486 Busy Here", *lines, "Content-Length: 0", "", ""]).encode()


def serve(channel: ssl.SSLSocket) -> None:
    while request := channel.recv(65_536).decode():
        print(request, flush=True)
        if request.startswith("INVITE"):
            channel.sendall(answer(request))


def main(address: str, certificate: str, peer: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{certificate}.crt", f"{certificate}.key")
    context.load_verify_locations(peer)
    context.verify_mode = ssl.CERT_REQUIRED
    with socket.create_server((address, 5061)) as listening:
        print("listening", flush=True)
        while True:
            plain, _ = listening.accept()
            try:
                with context.wrap_socket(plain, server_side=True) as channel:
                    serve(channel)
            except OSError as error:
                print(type(error).__name__, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
