"""A name server (RFC 1035, UDP) on a side of the SBC, whose records a test changes as it goes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from tests.system.sbc.box import Box
from tests.system.sbc.rtp import socket_in


class NameServer:
    """`records` are by name and type: time to live, then the records as text. Silent while it is not `up`."""

    def __init__(self, box: Box, side: str, host: str) -> None:
        self.records: dict[tuple[str, str], tuple[int, list[str]]] = {}
        self.up = True
        self.asked: list[str] = []
        self._line = socket_in(box.namespace(side), host, 53)
        self._line.settimeout(0.1)
        self._open = True
        self._thread = Thread(target=self._listen)
        self._thread.start()

    def close(self) -> None:
        self._open = False
        self._thread.join()
        self._line.close()

    def say(self, name: str, type: str, *records: str, ttl: int = 60) -> None:
        self.records[name, type] = (ttl, list(records))

    def _listen(self) -> None:
        while self._open:
            try:
                data, source = self._line.recvfrom(4096)
            except TimeoutError:
                continue
            if self.up:
                self._line.sendto(self._answer(dns.message.from_wire(data)), source)

    def _answer(self, query: dns.message.Message) -> bytes:
        question = query.question[0]
        name, type = question.name.to_text(omit_final_dot=True), dns.rdatatype.to_text(question.rdtype)
        self.asked.append(f"{name} {type}")
        answer = dns.message.make_response(query, recursion_available=True)
        found = self.records.get((name, type))
        if found:
            ttl, records = found
            answer.answer.append(dns.rrset.from_text(question.name, ttl, "IN", type, *records))
        elif not any(known == name for known, _ in self.records):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        return answer.to_wire()


@contextmanager
def name_server(box: Box, side: str, host: str) -> Iterator[NameServer]:
    made = NameServer(box, side, host)
    try:
        yield made
    finally:
        made.close()
