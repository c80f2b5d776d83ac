"""What a router does with real daemons and real packets, and that a change disturbs nothing it does not concern."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from services.kinds.router import KIND
from tests.kinds import router_cases
from tests.kinds.routerbox import wait_until
from tests.kinds.sites import LAN, LAN6, WAN, Conversation, Site, attempt, spec, two_sites, with_ipv6

pytestmark = pytest.mark.system

RIGHT_LAN = f"{LAN['right']}.0/24"

#: Silence without a lost carrier, as with a switch in between.
SILENCE = """
add table netdev cut
add chain netdev cut in { type filter hook ingress device wan priority 0; policy drop; }
"""


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Site]]:
    with two_sites(tmp_path_factory.mktemp("sites")) as sites:
        yield sites


@pytest.fixture
def sites(standing: dict[str, Site]) -> Iterator[dict[str, Site]]:
    """Two sites in their first state, whatever the test before made of them."""
    for side, site in standing.items():
        site.change(spec(side))
    wait_until(lambda: standing["left"].established and RIGHT_LAN in standing["left"].routes(), 20)
    yield standing


def ask(site: Site, question: str, **arguments: object) -> str:
    asked = KIND.questions[question]
    return site.box.run(*asked.command(asked.arguments.model_validate_json(json.dumps(arguments))))


def with_routes(document: dict[str, Any], *destinations: str) -> dict[str, Any]:
    routes = [{"destination": destination, "via": f"{LAN['left']}.10"} for destination in destinations]
    return {**document, "static_routes": routes}


def test_two_sites_reach_each_other_over_bgp_with_a_password_and_bfd(sites: dict[str, Site]) -> None:
    left = sites["left"]
    wait_until(lambda: left.session()["peerBfdInfo"]["status"] == "Up", 10)
    assert left.host.pings(sites["right"].host.address)
    assert left.box.condition("NeighboursUp") == "true"
    assert left.box.condition("ConfigurationApplied") == "true"
    assert left.box.condition("DaemonsAlive") == "true"


def test_changed_routes_drop_neither_a_session_nor_a_connection(sites: dict[str, Site]) -> None:
    left, right = sites["left"], sites["right"]
    before = left.history
    with Conversation(left.host, right.host, right.host.address, 7000, listening=7000) as talk:
        assert talk.say("before") == f"{left.host.address} before"
        for third in range(3):
            left.change(with_routes(spec("left"), f"172.20.{third}.0/24", "172.21.0.0/16"))
        assert f"{LAN['left']}.10" in ask(left, "routes", prefix="172.20.2.0/24")
        assert talk.say("after") == f"{left.host.address} after"
    assert left.history == before


def test_a_changed_filter_and_a_new_neighbour_leave_the_session_standing(sites: dict[str, Site]) -> None:
    left = sites["left"]
    before = left.history
    nothing = spec("left", prefixes_in=[{"action": "deny", "prefix": "10.2.0.0/16", "le": 32}])
    left.change(nothing)
    wait_until(lambda: RIGHT_LAN not in left.routes(), 10)
    everything = spec("left", prefixes_in=[{"action": "permit", "prefix": "10.2.0.0/16", "le": 24}], description="B")
    everything["bgp"]["neighbours"].append({"address": "10.255.0.3", "remote_asn": 65003})
    left.change(everything)
    wait_until(lambda: RIGHT_LAN in left.routes(), 10)
    assert left.history == before
    assert "10.255.0.3 is" in left.box.condition("NeighboursUp")


def test_a_filter_never_lets_through_what_neither_the_old_nor_the_new_one_does(sites: dict[str, Site]) -> None:
    """The table of the neighbour is followed while the filter goes to and fro between two that both deny."""
    left, right = sites["left"], sites["right"]
    filters = [
        [{"action": "deny", "prefix": f"10.2.{n}.0/24"}, {"action": "deny", "prefix": RIGHT_LAN}] for n in (8, 9)
    ]
    left.change(spec("left", prefixes_in=filters[0]))
    wait_until(lambda: RIGHT_LAN not in left.routes(), 10)
    monitor = left.box.start("ip", "monitor", "route")
    for number in range(6):
        left.change(spec("left", prefixes_in=filters[number % 2]))
    time.sleep(0.3)
    monitor.terminate()
    assert RIGHT_LAN not in monitor.communicate()[0]
    assert right.established


def test_a_route_that_is_not_permitted_is_not_announced(sites: dict[str, Site]) -> None:
    sites["right"].change(spec("right", prefixes_out=[]))
    wait_until(lambda: RIGHT_LAN not in sites["left"].routes(), 10)
    assert sites["left"].established
    sites["right"].change(spec("right"))
    wait_until(lambda: RIGHT_LAN in sites["left"].routes(), 10)


def test_too_many_prefixes_end_the_session_and_health_says_so(sites: dict[str, Site]) -> None:
    left, right = sites["left"], sites["right"]
    left.change(spec("left", max_prefix=2))
    assert left.established
    flood = spec("right")
    flood["static_routes"] = [{"destination": f"10.99.{n}.0/24", "blackhole": True} for n in range(5)]
    flood["bgp"]["redistribute"] = ["static"]
    right.change(flood)
    wait_until(lambda: not left.established, 10)
    assert "prefix" in left.box.condition("NeighboursUp").lower()


def test_a_wrong_password_keeps_the_session_down_and_health_names_the_neighbour(sites: dict[str, Site]) -> None:
    left = sites["left"]
    left.change(spec("left", password="another"))
    wait_until(lambda: not left.established, 15)
    assert left.box.condition("NeighboursUp").startswith(f"false: {WAN['right']} is ")


def test_bfd_finds_a_dead_neighbour_within_a_second(sites: dict[str, Site]) -> None:
    left, right = sites["left"], sites["right"]
    wait_until(lambda: left.session()["peerBfdInfo"]["status"] == "Up", 10)
    began = time.monotonic()
    right.box.inside(
        "nft",
        SILENCE,
    )
    try:
        wait_until(lambda: not left.established, 5)
        assert time.monotonic() - began < 2
        assert "BFD" in left.box.condition("NeighboursUp")
    finally:
        right.box.inside("nft", "delete table netdev cut")


def test_masquerade_and_a_port_forward_carry_real_connections(sites: dict[str, Site]) -> None:
    left, right = sites["left"], sites["right"]
    translated = spec("left", prefixes_out=[])
    translated["nat"] = {
        "source": [{"out_port": "wan", "source": [f"{LAN['left']}.0/24"]}],
        "port_forwards": [
            {"in_port": "wan", "protocol": "tcp", "port": 8443, "to": left.host.address, "to_port": 7443}
        ],
    }
    left.change(translated)
    wait_until(lambda: f"{LAN['left']}.0/24" not in right.routes(), 10)
    with Conversation(left.host, right.host, right.host.address, 7001, listening=7001) as out:
        assert out.say("hello") == f"{WAN['left']} hello"
        assert "7001" in ask(left, "nat-sessions")
        left.change(with_routes(translated, "172.20.9.0/24"))
        assert out.say("still") == f"{WAN['left']} still"
    with Conversation(right.host, left.host, WAN["left"], 8443, listening=7443) as into:
        assert into.say("hello") == f"{right.host.address} hello"


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("router bgp 65001\n neighbour typo\n", "neighbour"),
        # Not a word is wrong with this one: bgpd itself refuses it.
        (f"router bgp 65001\n neighbor {WAN['left']} remote-as 65009\n", "local system"),
        ("ip prefix-list x seq 5 permit 10.0.0.0/8 ge 4\n", "prefix"),
    ],
)
def test_a_refused_file_leaves_the_old_configuration_running(sites: dict[str, Site], broken: str, said: str) -> None:
    left = sites["left"]
    shown = left.box.vtysh("show running-config")
    before = left.history
    rules = left.box.run("nft", "-s", "list", "ruleset")
    translated = {**with_routes(spec("left"), "172.30.0.0/16"), "nat": {"source": [{"out_port": "wan"}]}}
    files = router_cases.files(translated)
    left.box.write({**files, "frr.conf": files["frr.conf"].removesuffix("end\n") + broken + "end\n"})
    refused = left.box.attempt("/usr/lib/naas/reload")
    assert refused.returncode == 1
    assert said in refused.stderr
    assert "s3cret" not in refused.stderr
    assert left.box.vtysh("show running-config") == shown
    assert left.box.run("nft", "-s", "list", "ruleset") == rules
    assert left.history == before
    assert left.box.attempt("/usr/lib/naas/ready").returncode == 1


def test_a_refused_packet_filter_leaves_the_old_one(sites: dict[str, Site]) -> None:
    left = sites["left"]
    rules = left.box.run("nft", "-s", "list", "ruleset")
    files = router_cases.files(with_routes(spec("left"), "172.30.0.0/16"))
    left.box.write({**files, "nftables.conf": files["nftables.conf"] + "table inet other { chain x { nonsense } }\n"})
    refused = left.box.attempt("/usr/lib/naas/reload")
    assert refused.returncode == 1
    assert "packet filter" in refused.stderr
    assert left.box.run("nft", "-s", "list", "ruleset") == rules
    assert "172.30.0.0/16" not in left.routes()


def test_ipv6_is_routed_and_exchanged_over_a_session_of_its_own(sites: dict[str, Site]) -> None:
    for side, site in sites.items():
        site.change(with_ipv6(side))
        site.give_ipv6()
    left, right = sites["left"], sites["right"]
    wait_until(lambda: f"{LAN6['right']}::/64" in ask(left, "routes", family="ipv6"), 20)
    wait_until(lambda: left.host.pings(f"{LAN6['right']}::10"), 10)
    assert right.established


def test_what_somebody_changed_by_hand_is_seen_and_put_back(sites: dict[str, Site]) -> None:
    left = sites["left"]
    left.box.run("vtysh", "-c", "configure", "-c", "ip route 172.31.0.0/16 blackhole")
    assert "172.31.0.0/16" in left.box.condition("ConfigurationApplied")
    left.box.run("nft", "add rule inet naas input tcp dport 22 accept")
    left.box.run("vtysh", "-c", "configure", "-c", "no ip route 172.31.0.0/16 blackhole")
    assert "packet filter" in left.box.condition("ConfigurationApplied")
    left.box.run("/usr/lib/naas/reload")
    assert left.box.condition("ConfigurationApplied") == "true"


def test_nobody_but_a_neighbour_reaches_the_router_itself(sites: dict[str, Site]) -> None:
    left = sites["left"]
    connect = ("ip", "netns", "exec", left.host.name, "bash", "-c", f"exec 3<>/dev/tcp/{LAN['left']}.1/179")
    assert not attempt(*connect)
    assert left.host.pings(f"{LAN['left']}.1")


def test_the_looking_glass_answers(sites: dict[str, Site]) -> None:
    left, right = sites["left"], sites["right"]
    assert RIGHT_LAN in ask(left, "routes")
    assert "Known via" in ask(left, "routes", prefix=RIGHT_LAN)
    assert WAN["right"] in ask(left, "bgp-summary")
    assert "Established" in ask(left, "bgp-neighbour", address=WAN["right"])
    for direction in ("received", "accepted"):
        assert RIGHT_LAN in ask(left, "bgp-routes", address=WAN["right"], direction=direction)
    assert f"{LAN['left']}.0/24" in ask(left, "bgp-routes", address=WAN["right"], direction="advertised")
    assert " 0% packet loss" in ask(left, "ping", destination=right.host.address, count=2, port="wan")
    assert right.host.address in ask(left, "traceroute", destination=right.host.address)
    assert "lan" in ask(left, "neighbours")
    assert f"{WAN['left']}/29" in ask(left, "interfaces")


def test_the_container_ends_with_the_first_of_its_daemons(sites: dict[str, Site]) -> None:
    """Last of this file: nobody restarts what was started by hand."""
    box = sites["right"].box
    assert attempt("sh", "-c", f"kill -9 $(pgrep --ns {box.pid} --nslist pid -x staticd)")
    wait_until(lambda: not box.running, 5)
