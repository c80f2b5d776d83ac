"""Customer premises for trying things out: hosts in network namespaces, on the UNIs of a PoP.

A site is one namespace, `naas-lab-<site>`, and one veth pair: its far end is the host's
`eth0`, its near end stays in the PoP's root namespace and plays the network card of the
UNI. Everything the lab knows is asked of the kernel: a site is whole when both ends carry
the altname `naas-lab:<site>`, written last; what carries no such mark is never touched.

No part of a PoP needs this module, and it knows nothing of services.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface, ip_address, ip_interface
from pathlib import Path
from typing import Any

from worker.errors import PermanentError

Address = IPv4Address | IPv6Address
Interface = IPv4Interface | IPv6Interface

NAMESPACE = "naas-lab-"
MARK = "naas-lab:"
SITE = re.compile(r"[a-z0-9][a-z0-9-]{0,19}")
UNI = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}")
ETC = Path("/etc/netns")
IPERF_PORT = 5201
HTTP_PORT = 80


class LabError(PermanentError):
    """The lab cannot do this; the message says what to change."""


@dataclass(frozen=True)
class Site:
    """A customer's premises: one host with `addresses`, whose default routes go to `gateways`, on UNI `uni`.

    `root` is the named namespace in which the PoP keeps its network cards, None for this one.
    `dns` is a resolver for the host; without one, names are refused at once instead of timing out.
    """

    name: str
    uni: str
    addresses: tuple[Interface, ...]
    gateways: tuple[Address, ...]
    mtu: int = 1500
    root: str | None = None
    dns: Address | None = None

    @property
    def namespace(self) -> str:
        return NAMESPACE + self.name

    @property
    def mark(self) -> str:
        return MARK + self.name


@dataclass(frozen=True)
class Standing:
    """A site as the kernel tells it. `uni` is None when its near end is missing or not marked."""

    name: str
    uni: str | None
    addresses: tuple[str, ...]
    gateways: tuple[str, ...]
    processes: int


def site(
    name: str,
    uni: str,
    addresses: Sequence[str],
    gateways: Sequence[str] = (),
    *,
    mtu: int = 1500,
    root: str | None = None,
    dns: str | None = None,
) -> Site:
    """A site out of what a person typed. Raises `LabError` naming what is wrong.

    An address whose network holds none of `gateways` gets the network's first address as its router.
    """
    _check_name(name)
    if not UNI.fullmatch(uni):
        raise LabError(f"'{uni}' cannot name an interface: use up to 15 of letters, digits, '.', '_' and '-'")
    interfaces = tuple(_parsed(ip_interface, address, "an address such as 10.0.0.10/24") for address in addresses)
    if not interfaces:
        raise LabError("a site needs at least one address")
    given = tuple(_parsed(ip_address, gateway, "an address such as 10.0.0.1") for gateway in gateways)
    for gateway in given:
        if not any(gateway in interface.network for interface in interfaces):
            raise LabError(f"gateway {gateway} is in none of the site's networks")
    resolver = None if dns is None else _parsed(ip_address, dns, "an address such as 10.0.0.53")
    return Site(name, uni, interfaces, tuple(_gateway(i, given) for i in interfaces), mtu, root, resolver)


def up(wanted: Site) -> None:
    """Make the site, or bring the one that is there to these addresses and routes."""
    _refuse_taken(wanted)
    if not _is_whole(wanted):
        _make(wanted)
    _raise_links(wanted)
    _address(wanted)
    _write_resolver(wanted)


def serve(name: str) -> None:
    """Run an iperf3 and a small web server at the site; they end with it. Those that run are left running."""
    _check_name(name)
    answer = [sys.executable, "-m", "worker.lab", "answer", name]
    for port, command in ((IPERF_PORT, ["iperf3", "--server"]), (HTTP_PORT, answer)):
        if not _listens(name, port):
            _start(name, command)
            _await_port(name, port)


def down(name: str, *, root: str | None = None) -> bool:
    """Remove the site with all that runs in it. Not finding it is success; True when something was removed."""
    _check_name(name)
    namespace = NAMESPACE + name
    found = namespace in _namespaces()
    if found:
        _end_processes(namespace)
        _delete_link("eth0", namespace)
    orphans = [link["ifname"] for link in _links(root) if MARK + name in link.get("altnames", ())]
    for uni in orphans:
        _delete_link(uni, root)
    if found:
        _ip("netns", "delete", namespace)
    shutil.rmtree(ETC / namespace, ignore_errors=True)
    if ETC.is_dir() and not any(ETC.iterdir()):
        ETC.rmdir()
    return found or bool(orphans)


def names(*, root: str | None = None) -> tuple[str, ...]:
    """Every site of which something is there, sorted."""
    namespaced = {n.removeprefix(NAMESPACE) for n in _namespaces() if n.startswith(NAMESPACE)}
    marked = set(_unis(root))
    return tuple(sorted(name for name in namespaced | marked if SITE.fullmatch(name)))


def standing(name: str, *, root: str | None = None) -> Standing:
    """The site as it is now. Raises `LabError` when there is none."""
    namespace = NAMESPACE + name
    if namespace not in _namespaces():
        raise LabError(f"there is no site '{name}': see `python -m worker.lab list`")
    return Standing(
        name=name,
        uni=_unis(root).get(name),
        addresses=tuple(str(address) for address in _addresses(namespace)),
        gateways=tuple(route["gateway"] for route in _default_routes(namespace)),
        processes=len(_processes(namespace)),
    )


def inside(name: str, *command: str) -> list[str]:
    """The argument list that runs `command` on the site's host."""
    return ["ip", "netns", "exec", NAMESPACE + name, *command]


def _check_name(name: str) -> None:
    """Site names become names of namespaces and directories."""
    if not SITE.fullmatch(name):
        raise LabError(f"'{name}' cannot name a site: use up to 20 of a-z, 0-9 and '-'")


# --- making ---------------------------------------------------------------------------


def _refuse_taken(wanted: Site) -> None:
    link = next((link for link in _links(wanted.root) if link["ifname"] == wanted.uni), None)
    if link is None or wanted.mark in link.get("altnames", ()) or _is_our_half(wanted, link):
        return
    owner = next((a.removeprefix(MARK) for a in link.get("altnames", ()) if a.startswith(MARK)), None)
    whose = f"site '{owner}'" if owner else "something other than the lab"
    raise LabError(f"interface {wanted.uni} belongs to {whose}: choose another name with --uni")


def _is_our_half(wanted: Site, link: dict[str, Any]) -> bool:
    """Whether `link` is the unmarked near end of a site that was left half made: its peer is the site's `eth0`."""
    far = _far_end(wanted.namespace)
    return far is not None and far.get("link_index") == link["ifindex"] and far["ifindex"] == link.get("link_index")


def _is_whole(wanted: Site) -> bool:
    far = _far_end(wanted.namespace)
    if far is None or wanted.mark not in far.get("altnames", ()) or far["mtu"] != wanted.mtu:
        return False
    return _unis(wanted.root).get(wanted.name) == wanted.uni


def _make(wanted: Site) -> None:
    down(wanted.name, root=wanted.root)
    namespace = wanted.namespace
    _ip("netns", "add", namespace)
    mtu = str(wanted.mtu)
    pair = ("add", "name", wanted.uni, "mtu", mtu, "type", "veth", "peer", "name", "eth0", "mtu", mtu)
    _ip("link", *pair, "netns", namespace, netns=wanted.root)
    _ip("link", "property", "add", "dev", "eth0", "altname", wanted.mark, netns=namespace)
    _ip("link", "property", "add", "dev", wanted.uni, "altname", wanted.mark, netns=wanted.root)


def _raise_links(wanted: Site) -> None:
    # The near end plays a network card: the PoP's root namespace has no address on it.
    _ip("link", "set", "dev", wanted.uni, "addrgenmode", "none", "up", netns=wanted.root)
    for name in ("lo", "eth0"):
        _ip("link", "set", "dev", name, "up", netns=wanted.namespace)


def _address(wanted: Site) -> None:
    """Bring the host's addresses and default routes to those wanted; what agrees stays untouched."""
    namespace = wanted.namespace
    for stale in set(_addresses(namespace)) - set(wanted.addresses):
        _ip("address", "delete", str(stale), "dev", "eth0", netns=namespace)
    for address in wanted.addresses:
        # Without duplicate address detection, an IPv6 address can be used at once.
        flags = ("nodad",) if address.version == 6 else ()
        _ip("address", "replace", str(address), "dev", "eth0", *flags, netns=namespace)
    for stale in {route["gateway"] for route in _default_routes(namespace)} - set(map(str, wanted.gateways)):
        _ip(f"-{ip_address(stale).version}", "route", "delete", "default", "via", stale, netns=namespace)
    for gateway in wanted.gateways:
        _ip(f"-{gateway.version}", "route", "replace", "default", "via", str(gateway), "dev", "eth0", netns=namespace)


def _write_resolver(wanted: Site) -> None:
    """`ip netns exec` puts this in place of the machine's own resolver, which the host cannot reach."""
    directory = ETC / wanted.namespace
    directory.mkdir(parents=True, exist_ok=True)
    text = f"nameserver {wanted.dns}\n" if wanted.dns else "# This host has no resolver.\n"
    (directory / "resolv.conf").write_text(text)


def _parsed(read: Callable[[str], Any], text: str, what: str) -> Any:
    try:
        return read(text)
    except ValueError as error:
        raise LabError(f"'{text}' is not {what}") from error


def _gateway(interface: Interface, given: Iterable[Address]) -> Address:
    for gateway in given:
        if gateway in interface.network:
            return gateway
    first: Address = interface.network[1 if interface.network.num_addresses > 2 else 0]
    if first == interface.ip:
        raise LabError(f"{interface} is the address of its network's router: give the host another, or --gateway")
    return first


# --- servers --------------------------------------------------------------------------


class _Greeter(BaseHTTPRequestHandler):
    """Answers every GET with a line that says which site answered whom."""

    site = ""

    def do_GET(self) -> None:
        body = f"{self.site} greets {self.client_address[0].removeprefix('::ffff:')}\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """The lab keeps no logs."""


class _GreeterServer(ThreadingHTTPServer):
    address_family = socket.AF_INET6
    daemon_threads = True


def _answer(name: str) -> None:
    handler = type("Greeter", (_Greeter,), {"site": name})
    _GreeterServer(("::", HTTP_PORT), handler).serve_forever()


def _start(name: str, command: Sequence[str]) -> None:
    if shutil.which(command[0]) is None:
        raise LabError(f"{command[0]} is not installed on this machine")
    subprocess.Popen(
        inside(name, *command),
        cwd=Path(__file__).parent.parent,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _listens(name: str, port: int) -> bool:
    found = subprocess.run(
        inside(name, "ss", "-Hltn", f"sport = :{port}"), capture_output=True, text=True, check=True, timeout=10
    )
    return bool(found.stdout.strip())


def _await_port(name: str, port: int, seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not _listens(name, port):
        if time.monotonic() > deadline:
            raise LabError(f"the server on port {port} of site '{name}' did not start")
        time.sleep(0.05)


# --- asking the kernel ----------------------------------------------------------------


def _ip(*arguments: str, netns: str | None = None) -> list[dict[str, Any]]:
    """Run iproute2 and read its JSON. Raises `LabError` with what it said."""
    command = ["ip", "-json", *(("-netns", netns) if netns else ()), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    except FileNotFoundError as error:
        raise LabError("the program 'ip' is missing: install iproute2") from error
    except subprocess.CalledProcessError as error:
        raise LabError(f"ip {' '.join(arguments)}: {error.stderr.strip()}") from error
    found: list[dict[str, Any]] = json.loads(done.stdout or "[]")
    return found


def _namespaces() -> frozenset[str]:
    return frozenset(namespace["name"] for namespace in _ip("netns", "list"))


def _links(netns: str | None) -> list[dict[str, Any]]:
    return _ip("link", "show", netns=netns)


def _unis(root: str | None) -> dict[str, str]:
    """The marked near ends in the root namespace: site name to interface name."""
    return {
        altname.removeprefix(MARK): link["ifname"]
        for link in _links(root)
        for altname in link.get("altnames", ())
        if altname.startswith(MARK)
    }


def _far_end(namespace: str) -> dict[str, Any] | None:
    if namespace not in _namespaces():
        return None
    return next((link for link in _links(namespace) if link["ifname"] == "eth0"), None)


def _addresses(namespace: str) -> list[Interface]:
    return [
        ip_interface(f"{address['local']}/{address['prefixlen']}")
        for link in _ip("address", "show", netns=namespace)
        if link["ifname"] == "eth0"
        for address in link["addr_info"]
        if address["scope"] == "global"
    ]


def _default_routes(namespace: str) -> list[dict[str, Any]]:
    found = [route for family in ("-4", "-6") for route in _ip(family, "route", "show", "default", netns=namespace)]
    return [route for route in found if "gateway" in route]


def _processes(namespace: str) -> list[int]:
    listed = subprocess.run(["ip", "netns", "pids", namespace], capture_output=True, text=True, check=True, timeout=20)
    return [int(pid) for pid in listed.stdout.split()]


# --- removing -------------------------------------------------------------------------


def _end_processes(namespace: str, patience: float = 2.0) -> None:
    """End what runs in the namespace: politely, and after `patience` seconds by force."""
    for ending in (signal.SIGTERM, signal.SIGKILL):
        for pid in _processes(namespace):
            _signal(pid, ending)
        deadline = time.monotonic() + patience
        while _processes(namespace) and time.monotonic() < deadline:
            time.sleep(0.02)


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _delete_link(name: str, netns: str | None) -> None:
    """Deleting one end of a pair deletes the other at once; deleting only its namespace would take its time."""
    if any(link["ifname"] == name for link in _links(netns)):
        _ip("link", "delete", "dev", name, netns=netns)


# --- the command line -----------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    if os.geteuid() != 0:
        return _fail("the lab makes network namespaces: run it as root")
    try:
        status: int = options.run(options)
    except LabError as error:
        return _fail(str(error))
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m worker.lab", description="Customer premises on a PoP's UNIs.")
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    make = verbs.add_parser("up", help="make a site, or bring it to these addresses")
    make.add_argument("site")
    make.add_argument("--uni", required=True, metavar="IFNAME", help="name of the UNI's interface at the PoP")
    make.add_argument("--address", required=True, action="append", metavar="CIDR", help="of the host; repeat for IPv6")
    make.add_argument("--gateway", action="append", default=[], metavar="IP", help="default: the network's first")
    make.add_argument("--mtu", type=int, default=1500)
    make.add_argument("--dns", metavar="IP", help="resolver of the host; default: none")
    make.add_argument("--serve", action="store_true", help="run an iperf3 and a web server there")
    make.set_defaults(run=_run_up)
    show = verbs.add_parser("list", help="show the sites that stand")
    show.set_defaults(run=_run_list)
    execute = verbs.add_parser("exec", help="run a command on a site's host")
    execute.add_argument("site")
    execute.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND ...")
    execute.set_defaults(run=_run_exec)
    remove = verbs.add_parser("down", help="remove a site completely")
    which = remove.add_mutually_exclusive_group(required=True)
    which.add_argument("site", nargs="?")
    which.add_argument("--all", action="store_true")
    remove.set_defaults(run=_run_down)
    answer = verbs.add_parser("answer")
    answer.add_argument("site")
    answer.set_defaults(run=_run_answer)
    for verb in (make, show, remove):
        verb.add_argument("--root", metavar="NETNS", help="the PoP's root namespace, where that is not this one")
    return parser


def _run_up(options: argparse.Namespace) -> int:
    wanted = site(
        options.site,
        options.uni,
        options.address,
        options.gateway,
        mtu=options.mtu,
        root=options.root,
        dns=options.dns,
    )
    up(wanted)
    if options.serve:
        serve(wanted.name)
    addresses = ", ".join(str(address) for address in wanted.addresses)
    _say(f"site {wanted.name} stands on {wanted.uni} with {addresses}")
    return 0


def _run_list(options: argparse.Namespace) -> int:
    sites = names(root=options.root)
    if not sites:
        _say("No sites stand. Make one: python -m worker.lab up SITE --uni IFNAME --address CIDR")
    for name in sites:
        found = standing(name, root=options.root)
        _say(
            f"{found.name:20} {found.uni or 'no uni':15} {' '.join(found.addresses)}"
            f"  via {' '.join(found.gateways) or 'nothing'}  {found.processes} processes"
        )
    return 0


def _run_exec(options: argparse.Namespace) -> int:
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        raise LabError("say what to run: python -m worker.lab exec SITE -- ping 10.20.0.10")
    standing(options.site)
    argv = inside(options.site, *command)
    os.execvp(argv[0], argv)  # noqa: S606 - the command is the user's own


def _run_down(options: argparse.Namespace) -> int:
    for name in names(root=options.root) if options.all else (options.site,):
        removed = down(name, root=options.root)
        _say(f"site {name} is removed" if removed else f"there was no site {name}")
    return 0


def _run_answer(options: argparse.Namespace) -> int:
    _answer(options.site)
    return 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")


def _fail(reason: str) -> int:
    sys.stderr.write(f"error: {reason}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
