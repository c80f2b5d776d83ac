"""Places a customer's order through the REST API and sends real traffic through what comes of it.

A plain client: besides the account, which only a provider can give, everything is asked
of the API, and the customer's premises are those of the lab. Running it again finds
what is there, shows it and measures again.
"""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from scripts import calls
from scripts.commands import CommandFailed
from scripts.console import console, print_plain, say, step
from scripts.customer import (
    POP,
    Account,
    Api,
    DemoFailed,
    Json,
    access,
    await_working,
    complete,
    find_service,
    lab,
    login_file,
    make_segments,
    open_account,
    order_under_way,
    token_file,
)
from scripts.errors import SetupError
from scripts.place import Place, find_place

#: Seconds within which the routers know each other's networks.
BGP_PATIENCE = 40
IPERF_SECONDS = 3


@dataclass(frozen=True)
class Site:
    """One of the customer's places: a host on a UNI, and the router ordered for it."""

    name: str
    router: str
    asn: int
    net4: str
    net6: str
    transport4: str
    transport6: str

    @property
    def segment(self) -> str:
        return f"{self.name}-lan"

    def host(self, version: int) -> str:
        return _at(self.net4 if version == 4 else self.net6, "10")

    def gateway(self, version: int) -> str:
        return _at(self.net4 if version == 4 else self.net6, "1")


SITE_A = Site("site-a", "edge-a", 65010, "10.10.0.0/24", "fd00:10::/64", "10.255.0.1", "fd00:255::1")
SITE_B = Site("site-b", "edge-b", 65020, "10.20.0.0/24", "fd00:20::/64", "10.255.0.2", "fd00:255::2")
SITES = (SITE_A, SITE_B)
TRANSPORT = "demo-transport"
TRANSPORT_PREFIXES = ("10.255.0.0/29", "fd00:255::/64")


def _at(network: str, host: str) -> str:
    """The address of a host in one of the demo's networks, all of which end in 0 or '::'."""
    base = network.partition("/")[0]
    return base + host if ":" in base else base.removesuffix("0") + host


# --- the demo -------------------------------------------------------------------------


@dataclass(frozen=True)
class Measured:
    """What the traffic between the two hosts showed. `rtt` in milliseconds, `rate` in bit/s."""

    rtt4: float
    rtt6: float
    rate: float


def demo(place: Place) -> None:
    account = open_account(place)
    api = Api(account)
    with step("Segments") as running:
        made = make_segments(api, [*segments(account), *calls.segments(account)])
        running.outcome = f"{made} made" if made else "are there"
    with step("Customer premises") as running:
        for site in SITES:
            make_premises(place, site, account)
        calls.make_premises(place, account)
        hosts = [(site.name, site.host(4)) for site in SITES] + [(end.site, end.host) for end in calls.ENDS]
        running.outcome = ", ".join(f"{name} {host}" for name, host in hosts)
    order_routers(api)
    services = [await_working(api, site.router, BGP_PATIENCE) for site in SITES]
    measured = measure(place)
    summary = look(api, services[0])
    sbc = calls.order(api)
    call = calls.place_call(place, api, sbc)
    show(services, measured, summary)
    calls.show(sbc, call)
    say_what_next(place, account, services[0], sbc)


def segments(account: Account) -> list[Json]:
    """What the two routers are plugged into."""
    transport: Json = {"name": TRANSPORT, "pop": POP, "kind": "transport", "prefixes": list(TRANSPORT_PREFIXES)}
    return [transport, *(access(account, site.segment, site.name, site.net4, site.net6) for site in SITES)]


def make_premises(place: Place, site: Site, account: Account) -> None:
    addresses = [f"{site.host(4)}/24", f"{site.host(6)}/64"]
    options = [option for address in addresses for option in ("--address", address)]
    gateways = [option for version in (4, 6) for option in ("--gateway", site.gateway(version))]
    uni = account.unis[site.name]["interface"]
    lab(place, "up", site.name, "--uni", uni, *options, *gateways, "--serve")


# --- the order ------------------------------------------------------------------------


def order_routers(api: Api) -> None:
    """Order what is missing; follow that order, or the one that is under way, to its end."""
    there = {site.router: find_service(api, site.router) for site in SITES}
    if all(there.values()):
        order = order_under_way(api, there)
    else:
        # The password between the two is new, so a router that is there already must learn it.
        password = secrets.token_urlsafe(18)
        order = api.post("orders", {"items": [_item(site, there[site.router], password) for site in SITES]})
    if order is None:
        print_plain("Both routers are there already: measuring again.")
        return
    complete(api, order)


def _item(site: Site, there: Json | None, password: str) -> Json:
    spec = _spec(site, SITE_B if site is SITE_A else SITE_A, password)
    if there:
        return {"action": "modify", "service": there["id"], "spec": spec}
    return {"action": "add", "kind": "router", "pop": POP, "name": site.router, "size": "S", "spec": spec}


def _spec(site: Site, peer: Site, password: str) -> Json:
    """A port to the site, one to the transport, and eBGP that announces the site's prefixes to the peer."""
    lan = [f"{site.gateway(4)}/24", f"{site.gateway(6)}/64"]
    wan = [f"{site.transport4}/29", f"{site.transport6}/64"]
    return {
        "ports": [
            {"name": "lan", "segment": site.segment, "addresses": lan},
            {"name": "wan", "segment": TRANSPORT, "addresses": wan},
        ],
        "bgp": {
            "asn": site.asn,
            "networks": [site.net4, site.net6],
            "neighbours": [
                {
                    "address": address,
                    "remote_asn": peer.asn,
                    "description": peer.router,
                    "password": password,
                    "prefixes_in": [{"action": "permit", "prefix": network}],
                    "bfd": True,
                }
                for address, network in ((peer.transport4, peer.net4), (peer.transport6, peer.net6))
            ],
        },
    }


# --- what came of it ------------------------------------------------------------------


def measure(place: Place) -> Measured:
    """Send traffic from the host behind one router to the host behind the other."""
    with step("Traffic between the hosts") as running:
        rtt4, rtt6 = (ping(place, SITE_A.name, SITE_B.host(version)) for version in (4, 6))
        rate = iperf(place, SITE_A.name, SITE_B.host(4))
        running.outcome = f"{rate / 1e6:,.0f} Mbit/s"
    return Measured(rtt4, rtt6, rate)


def ping(place: Place, site: str, target: str) -> float:
    """Median-like figure of ping itself: its average, in milliseconds."""
    try:
        said = lab(place, "exec", site, "--", "ping", "-n", "-c", "4", "-i", "0.2", "-W", "2", target)
    except CommandFailed as error:
        raise DemoFailed(f"the host at {site} does not reach {target}: traffic does not pass\n{error}") from error
    summary = next((line for line in said.splitlines() if line.startswith("rtt ")), "")
    try:
        return float(summary.split("/")[4])
    except (IndexError, ValueError) as error:
        raise DemoFailed(f"ping from {site} to {target} said nothing that can be read:\n{said}") from error


def iperf(place: Place, site: str, target: str) -> float:
    """Bit/s that one TCP connection brought to `target`."""
    try:
        said = lab(place, "exec", site, "--", "iperf3", "-J", "-c", target, "-t", str(IPERF_SECONDS))
    except CommandFailed as error:
        raise DemoFailed(f"iperf3 from {site} to {target} failed: traffic does not pass\n{error}") from error
    try:
        rate = float(json.loads(said)["end"]["sum_received"]["bits_per_second"])
    except (KeyError, ValueError) as error:
        raise DemoFailed(f"iperf3 from {site} to {target} said nothing that can be read") from error
    if rate <= 0:
        raise DemoFailed(f"iperf3 from {site} to {target} brought nothing across")
    return rate


def look(api: Api, service: Json) -> str:
    """The router's BGP summary, through the looking glass."""
    with step("Looking glass") as running:
        asked = {"question": "bgp-summary", "arguments": {}}
        answer = api.post(f"services/{service['id']}/inquiries", asked, Prefer="wait=10")
        running.outcome = f"BGP summary of {service['name']}"
    if answer["state"] != "answered":
        raise DemoFailed(f"the looking glass did not answer: {answer['state']} {answer.get('output', '')}")
    output: str = answer["output"]
    return output


# --- telling --------------------------------------------------------------------------


def show(services: Iterable[Json], measured: Measured, summary: str) -> None:
    say()
    say("[bold]Two sites, a router at each, eBGP between them[/]")
    table = Table()
    for heading in ("Site", "Host", "Router", "Service", "State", "AS"):
        table.add_column(heading)
    for site, service in zip(SITES, services, strict=True):
        hosts = f"{site.host(4)}\n{site.host(6)}"
        table.add_row(site.name, hosts, site.router, service["id"], service["state"], str(site.asn))
    console.print(table)
    say(f"[bold]Traffic {SITE_A.name} > {SITE_A.router} > {SITE_B.router} > {SITE_B.name}[/]")
    figures = Table(show_header=False)
    figures.add_row("ping IPv4", f"{measured.rtt4:.3f} ms")
    figures.add_row("ping IPv6", f"{measured.rtt6:.3f} ms")
    figures.add_row(f"TCP, {IPERF_SECONDS} s of iperf3", f"{measured.rate / 1e6:,.1f} Mbit/s")
    console.print(figures)
    say(f"[bold]BGP summary of {SITE_A.router}[/]")
    print_plain(summary.strip())


def say_what_next(place: Place, account: Account, service: Json, sbc: Json) -> None:
    api = f"{account.site_url}/api/v1"
    say()
    say(f"[bold]Address[/]  {account.site_url}, the API's documentation at {account.site_url}/api/docs/")
    login = f"{account.site_url}/login/"
    say(f"[bold]Login[/]    {escape(account.email)} at {login}, password in {escape(str(login_file(place)))}")
    say(f"[bold]Token[/]    in {escape(str(token_file(place)))}")
    say()
    say("[bold]Try next[/]")
    for line in (
        f'auth="Authorization: Bearer $(cat {token_file(place)})"; json="Content-Type: application/json"',
        f'curl -s -H "$auth" {api}/services',
        f'curl -s -H "$auth" {api}/services/{service["id"]}',
        f"""curl -s -H "$auth" -H "$json" -H "Prefer: wait=10" {api}/services/{service["id"]}/inquiries"""
        """ -d '{"question": "routes", "arguments": {}}'""",
        f"""curl -s -H "$auth" {api}/sbc/{sbc["id"]}/records""",
        f"""curl -s -H "$auth" -H "$json" -H "Prefer: wait=20" {api}/sbc/{sbc["id"]}/test-calls -d '{{}}'""",
        f"{_python(place)} -m worker.lab exec {SITE_A.name} -- traceroute -n {SITE_B.host(4)}",
        f"{_python(place)} -m worker.lab exec {SITE_A.name} -- curl -s http://{SITE_B.host(4)}/",
    ):
        print_plain(f"  {line}")


def _python(place: Place) -> Path:
    return place.python.relative_to(place.repo)


def main() -> int:
    try:
        demo(find_place())
    except SetupError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
