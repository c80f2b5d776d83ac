"""A caller over TLS with encrypted media, for where sipp has no TLS. Run as a program in a side's namespace.

Places one call, and prints all that it is sent. Exits 1 when anything is not as it should be.
"""

from __future__ import annotations

import argparse
import re
import secrets
import socket
import ssl
import sys

SDP = """v=0
o=secretowner 1 1 IN IP4 {host}
s=secretsession
c=IN IP4 {host}
t=0 0
m=audio 40000 RTP/SAVP 8
a=rtpmap:8 PCMA/8000
a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz
"""


class Caller:
    def __init__(self, channel: ssl.SSLSocket, sbc: str) -> None:
        self.channel, self.sbc = channel, sbc
        self.host, self.port = channel.getsockname()[:2]
        self.file = channel.makefile("rb")
        self.call = secrets.token_hex(4)
        self.heard = ""

    def send(self, method: str, cseq: int, uri: str, to: str, body: str = "") -> None:
        head = [
            f"{method} {uri} SIP/2.0",
            f"Via: SIP/2.0/TLS {self.host}:{self.port};branch=z9hG4bKsecret{self.call}{cseq}{method}",
            f"From: <sip:+4930111@{self.host}>;tag=secrettag",
            f"To: {to}",
            f"Call-ID: secretcall{self.call}@{self.host}",
            f"CSeq: {cseq} {method}",
            f"Contact: <sip:secretuser@{self.host}:{self.port};transport=tls>",
            "Max-Forwards: 70",
            *(["Content-Type: application/sdp"] if body else []),
            f"Content-Length: {len(body)}",
        ]
        self.channel.sendall(("\r\n".join(head) + "\r\n\r\n" + body).encode())

    def receive(self) -> tuple[int, str, str]:
        """Code, headers and body of the next reply."""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = self.file.readline()
            if not line:
                raise ConnectionError("the SBC closed the connection")
            head += line
        text = head.decode()
        length = re.search(r"(?i)content-length: *(\d+)", text)
        body = self.file.read(int(length[1]) if length else 0).decode()
        self.heard += text + body
        return int(text.split()[1]), text, body

    def final(self) -> tuple[int, str, str]:
        while True:
            found = self.receive()
            if found[0] >= 200:
                return found


def call(channel: ssl.SSLSocket, sbc: str) -> str:
    caller = Caller(channel, sbc)
    uri = f"sip:+4940222@{sbc}:5061;transport=tls"
    caller.send("INVITE", 1, uri, f"<{uri}>", SDP.format(host=caller.host).replace("\n", "\r\n"))
    code, head, _ = caller.final()
    if code != 200:
        raise ConnectionError(f"refused with {code}")
    contact = re.search(r"Contact: <([^>]+)>", head)
    to = re.search(r"To: (.*)\r\n", head)
    if contact is None or to is None:
        raise ConnectionError("an answer without Contact or To")
    caller.send("ACK", 1, contact[1], to[1])
    caller.send("BYE", 2, contact[1], to[1])
    code, _, _ = caller.final()
    if code != 200:
        raise ConnectionError(f"the end was refused with {code}")
    return caller.heard


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("sbc")
    parser.add_argument("--certificate")
    parser.add_argument("--oldest", action="store_true", help="speak TLS 1.1 at most")
    arguments = parser.parse_args()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if arguments.oldest:
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
        context.set_ciphers("ALL:@SECLEVEL=0")
    if arguments.certificate:
        context.load_cert_chain(f"{arguments.certificate}.crt", f"{arguments.certificate}.key")
    try:
        plain = socket.create_connection((arguments.sbc, 5061), timeout=5)
        with context.wrap_socket(plain) as channel:
            print(call(channel, arguments.sbc))
    except OSError as error:
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
