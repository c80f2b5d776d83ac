"""Two routers with a host behind each, wired by hand: what stands between two customer sites, without the platform.

left host -- lan [router left] wan -- wan [router right] lan -- right host
"""

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.kinds import router_cases
from tests.kinds.routerbox import RouterBox, wait_until

WAN = {"left": "10.255.0.1", "right": "10.255.0.2"}
LAN = {"left": "10.1.0", "right": "10.2.0"}
WAN6 = {"left": "2001:db8:ff::1", "right": "2001:db8:ff::2"}
LAN6 = {"left": "2001:db8:1", "right": "2001:db8:2"}
ASN = {"left": 65001, "right": 65002}
OTHER = {"left": "right", "right": "left"}


def spec(side: str, **neighbour: object) -> dict[str, Any]:
    """A router of one site: eBGP with the other, its LAN announced."""
    session = {"address": WAN[OTHER[side]], "remote_asn": ASN[OTHER[side]], "bfd": True, "password": "s3cret-42"}
    return {
        "ports": [
            {"name": "lan", "segment": "lan", "addresses": [f"{LAN[side]}.1/24"]},
            {"name": "wan", "segment": "wan", "addresses": [f"{WAN[side]}/29"]},
        ],
        "bgp": {
            "asn": ASN[side],
            "networks": [f"{LAN[side]}.0/24"],
            "neighbours": [{**session, **neighbour}],
        },
    }


def with_ipv6(side: str) -> dict[str, Any]:
    """The same with a second session, for IPv6."""
    document = spec(side)
    document["ports"][0]["addresses"].append(f"{LAN6[side]}::1/64")
    document["ports"][1]["addresses"].append(f"{WAN6[side]}/64")
    document["bgp"]["networks"].append(f"{LAN6[side]}::/64")
    document["bgp"]["neighbours"].append({"address": WAN6[OTHER[side]], "remote_asn": ASN[OTHER[side]], "bfd": True})
    return document


class Host:
    """A network namespace with one interface, `.10` on its router's LAN."""

    def __init__(self, name: str, side: str) -> None:
        self.name, self.address = name, f"{LAN[side]}.10"
        run("ip", "netns", "add", name)

    def popen(self, *command: str) -> subprocess.Popen[str]:
        argv = ["ip", "netns", "exec", self.name, *command]
        return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def python(self, script: str, *arguments: str) -> subprocess.Popen[str]:
        return self.popen(sys.executable, "-I", "-c", script, *arguments)

    def pings(self, address: str) -> bool:
        return attempt("ip", "netns", "exec", self.name, "ping", "-c1", "-W1", address)


class Site:
    def __init__(self, side: str, box: RouterBox, host: Host) -> None:
        self.side, self.box, self.host = side, box, host

    def change(self, document: object) -> None:
        """Write the files of `document` and reload."""
        self.box.write(router_cases.files(document))
        self.box.run("/usr/lib/naas/reload")

    def give_ipv6(self) -> None:
        """Put the IPv6 addresses on the wires and on the host."""
        self.box.inside("ip", "address", "replace", f"{LAN6[self.side]}::1/64", "dev", "lan", "nodad")
        self.box.inside("ip", "address", "replace", f"{WAN6[self.side]}/64", "dev", "wan", "nodad")
        name = self.host.name
        run("ip", "-n", name, "address", "replace", f"{LAN6[self.side]}::10/64", "dev", "eth0", "nodad")
        run("ip", "-n", name, "route", "replace", "default", "via", f"{LAN6[self.side]}::1")

    def session(self) -> dict[str, Any]:
        told = json.loads(self.box.vtysh("show bgp neighbors json"))
        session: dict[str, Any] = told[WAN[OTHER[self.side]]]
        return session

    @property
    def history(self) -> tuple[int, int]:
        """How often the session was made and lost. Its age is rounded to seconds and says less."""
        session = self.session()
        return session["connectionsEstablished"], session["connectionsDropped"]

    @property
    def established(self) -> bool:
        return bool(self.session()["bgpState"] == "Established")

    def routes(self) -> set[str]:
        return set(json.loads(self.box.vtysh("show ip route json")))


@contextmanager
def two_sites(directory: Path) -> Iterator[dict[str, Site]]:
    tag = secrets.token_hex(3)
    hosts = {side: Host(f"nt{tag}-{side}", side) for side in WAN}
    paths = {side: directory / side for side in WAN}
    for path in paths.values():
        path.mkdir()
    try:
        with (
            RouterBox(paths["left"], router_cases.files(spec("left"))) as left,
            RouterBox(paths["right"], router_cases.files(spec("right"))) as right,
        ):
            boxes = {"left": left, "right": right}
            _wire(boxes, hosts)
            sites = {side: Site(side, boxes[side], hosts[side]) for side in WAN}
            for box in boxes.values():
                box.wait_until_ready()
            wait_until(lambda: all(site.established for site in sites.values()), 15)
            wait_until(lambda: hosts["left"].pings(hosts["right"].address), 10)
            yield sites
    finally:
        for host in hosts.values():
            run("ip", "netns", "del", host.name)


def _wire(boxes: dict[str, RouterBox], hosts: dict[str, Host]) -> None:
    left, right = str(boxes["left"].pid), str(boxes["right"].pid)
    run("ip", "link", "add", "wan", "netns", left, "type", "veth", "peer", "name", "wan", "netns", right)
    for side, box in boxes.items():
        name = hosts[side].name
        run("ip", "link", "add", "lan", "netns", str(box.pid), "type", "veth", "peer", "name", "eth0", "netns", name)
        box.inside("ip", "address", "add", f"{LAN[side]}.1/24", "dev", "lan")
        box.inside("ip", "address", "add", f"{WAN[side]}/29", "dev", "wan")
        for link in ("lan", "wan"):
            box.inside("ip", "link", "set", link, "up")
        run("ip", "-n", name, "address", "add", f"{LAN[side]}.10/24", "dev", "eth0")
        run("ip", "-n", name, "link", "set", "eth0", "up")
        run("ip", "-n", name, "route", "add", "default", "via", f"{LAN[side]}.1")


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ)


def attempt(*command: str) -> bool:
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


#: Answers every line with the address it came from; prints its own readiness first.
SERVE = """
import socketserver, sys
class Answer(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(self.client_address[0].encode() + b" " + line)
socketserver.ThreadingTCPServer.allow_reuse_address = True
with socketserver.ThreadingTCPServer(("", int(sys.argv[1])), Answer) as server:
    print("ready", flush=True)
    server.serve_forever()
"""

#: Sends each line of stdin over one connection and prints the answer.
TALK = """
import socket, sys
line = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=5).makefile("rw")
for word in sys.stdin:
    line.write(word); line.flush(); print(line.readline(), end="", flush=True)
"""


class Conversation:
    """One TCP connection from a host to a server on another, for as long as the `with` lasts."""

    def __init__(self, client: Host, server: Host, address: str, port: int, *, listening: int) -> None:
        self._server = server.python(SERVE, str(listening))
        assert self._server.stdout is not None
        assert self._server.stdout.readline() == "ready\n"
        self._client = client.python(TALK, address, str(port))

    def say(self, word: str) -> str:
        """The answer: the address the server saw, and the word."""
        assert self._client.stdin is not None
        assert self._client.stdout is not None
        self._client.stdin.write(word + "\n")
        return self._client.stdout.readline().strip()

    def __enter__(self) -> "Conversation":
        return self

    def __exit__(self, *_: object) -> None:
        for process in (self._client, self._server):
            process.kill()
            process.communicate()
