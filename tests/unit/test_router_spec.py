"""What a router's spec refuses, each with the path of the wrong field, and what cannot be injected through it."""

import copy
from typing import Any

import pytest
from pydantic import ValidationError

from services.kind import SpecError, problems_of
from services.kinds.router import KIND
from tests.kinds import router_cases

GOOD: dict[str, Any] = {
    "ports": [
        {"name": "lan", "segment": "office", "addresses": ["10.1.0.1/24"]},
        {"name": "wan", "segment": "net", "addresses": ["10.255.0.1/29", "2001:db8:ff::1/64"]},
    ],
    "static_routes": [{"destination": "10.9.0.0/16", "via": "10.1.0.254"}],
    "bgp": {
        "asn": 65001,
        "neighbours": [
            {
                "address": "10.255.0.2",
                "remote_asn": 65002,
                "prefixes_in": [{"action": "permit", "prefix": "10.2.0.0/16", "ge": 20, "le": 24}],
            },
            {"address": "10.255.0.3", "remote_asn": 65001},
        ],
    },
    "nat": {
        "source": [{"out_port": "wan", "source": ["10.1.0.0/24"]}],
        "port_forwards": [{"in_port": "wan", "protocol": "tcp", "port": 443, "to": "10.1.0.10"}],
    },
}

PORT = {"name": "dmz", "segment": "x"}
ROUTE = {"destination": "10.8.0.0/16", "via": "10.1.0.254"}
FORWARD = {"in_port": "wan", "protocol": "tcp", "port": 443, "to": "10.1.0.11"}

#: What is set where, and the path at which it is refused.
REFUSED = [
    ("", "surprise", 1, "surprise"),
    ("", "ports", [], "ports"),
    ("", "ports", None, "ports"),
    ("", "ports", {"name": "lan"}, "ports"),
    ("", "static_routes", "none", "static_routes"),
    ("", "bgp", [], "bgp"),
    ("ports.0", "name", "lo", "ports[0].name"),
    ("ports.0", "name", "../etc", "ports[0].name"),
    ("ports.0", "name", 7, "ports[0].name"),
    ("ports.0", "surprise", 7, "ports[0].surprise"),
    ("ports.0", "segment", "", "ports[0].segment"),
    ("ports.0", "segment", None, "ports[0].segment"),
    ("ports.0", "segment", "a\nb", "ports[0].segment"),
    ("ports.0", "addresses", ["10.1.0.0/24"], "ports[0].addresses[0]"),
    ("ports.0", "addresses", ["10.1.0.1"], "ports[0].addresses[0]"),
    ("ports.0", "addresses", [False], "ports[0].addresses[0]"),
    ("ports.1", "name", "lan", "ports[1].name"),
    ("static_routes.0", "destination", "10.9.0.1/16", "static_routes[0].destination"),
    ("static_routes.0", "destination", "224.0.0.0/4", "static_routes[0].destination"),
    ("static_routes.0", "via", "2001:db8::1", "static_routes[0].via"),
    ("static_routes.0", "via", "10.1.0.254 tag 5", "static_routes[0].via"),
    ("static_routes.0", "via", None, "static_routes[0]"),
    ("static_routes.0", "port", "lan", "static_routes[0].port"),
    ("static_routes.0", "blackhole", True, "static_routes[0].blackhole"),
    ("static_routes.0", "blackhole", "yes", "static_routes[0].blackhole"),
    ("static_routes.0", "distance", 0, "static_routes[0].distance"),
    ("static_routes.0", "distance", 255, "static_routes[0].distance"),
    ("", "static_routes", [ROUTE, ROUTE], "static_routes[1].destination"),
    ("", "static_routes", [{"destination": "10.8.0.0/16", "port": "nope"}], "static_routes[0].port"),
    (
        "",
        "static_routes",
        [ROUTE, {"destination": "10.8.0.0/16", "blackhole": True}],
        "static_routes[1].blackhole",
    ),
    ("", "static_routes", [{"destination": "2001:db8::/32", "via": "fe80::1"}], "static_routes[0].via"),
    ("bgp", "asn", 0, "bgp.asn"),
    ("bgp", "asn", 23456, "bgp.asn"),
    ("bgp", "asn", 65535, "bgp.asn"),
    ("bgp", "asn", 4294967295, "bgp.asn"),
    ("bgp", "asn", "65001", "bgp.asn"),
    ("bgp", "router_id", "2001:db8::1", "bgp.router_id"),
    ("bgp", "router_id", "0.0.0.0", "bgp.router_id"),
    ("bgp", "networks", ["10.1.0.0/24", "10.1.0.0/24"], "bgp.networks[1]"),
    ("bgp", "networks", ["10.1.0.1/24"], "bgp.networks[0]"),
    ("bgp", "redistribute", ["ospf"], "bgp.redistribute[0]"),
    ("bgp", "redistribute", ["static", "static"], "bgp.redistribute[1]"),
    ("bgp.neighbours.1", "address", "10.255.0.2", "bgp.neighbours[1].address"),
    ("bgp.neighbours.1", "ebgp_multihop", 3, "bgp.neighbours[1].ebgp_multihop"),
    ("bgp.neighbours.1", "local_preference", 3, "bgp.neighbours[1].local_preference"),
    ("bgp.neighbours.0", "address", "fe80::1", "bgp.neighbours[0].address"),
    ("bgp.neighbours.0", "remote_asn", 23456, "bgp.neighbours[0].remote_asn"),
    ("bgp.neighbours.0", "password", "", "bgp.neighbours[0].password"),
    ("bgp.neighbours.0", "password", "x" * 81, "bgp.neighbours[0].password"),
    ("bgp.neighbours.0", "password", "two words", "bgp.neighbours[0].password"),
    ("bgp.neighbours.0", "password", "a\nneighbor 1.1.1.1 remote-as 1", "bgp.neighbours[0].password"),
    ("bgp.neighbours.0", "password", "ü", "bgp.neighbours[0].password"),
    ("bgp.neighbours.0", "description", "a\n!", "bgp.neighbours[0].description"),
    ("bgp.neighbours.0", "description", 'a"b', "bgp.neighbours[0].description"),
    ("bgp.neighbours.0", "max_prefix", 0, "bgp.neighbours[0].max_prefix"),
    ("bgp.neighbours.0", "max_prefix", 10.5, "bgp.neighbours[0].max_prefix"),
    ("bgp.neighbours.0", "timers", {"keepalive": 10, "hold": 20}, "bgp.neighbours[0].timers.hold"),
    ("bgp.neighbours.0", "timers", {"keepalive": 0, "hold": 20}, "bgp.neighbours[0].timers.keepalive"),
    ("bgp.neighbours.0", "bfd", 1, "bgp.neighbours[0].bfd"),
    ("bgp.neighbours.0", "bfd_timers", {}, "bgp.neighbours[0].bfd_timers"),
    ("bgp.neighbours.0", "prepend", 11, "bgp.neighbours[0].prepend"),
    ("bgp.neighbours.0.prefixes_in.0", "action", "allow", "bgp.neighbours[0].prefixes_in[0].action"),
    ("bgp.neighbours.0.prefixes_in.0", "prefix", "::/0", "bgp.neighbours[0].prefixes_in[0].prefix"),
    ("bgp.neighbours.0.prefixes_in.0", "ge", 25, "bgp.neighbours[0].prefixes_in[0].ge"),
    ("bgp.neighbours.0.prefixes_in.0", "ge", 15, "bgp.neighbours[0].prefixes_in[0].ge"),
    ("bgp.neighbours.0.prefixes_in.0", "le", 33, "bgp.neighbours[0].prefixes_in[0].le"),
    ("nat.source.0", "out_port", "nope", "nat.source[0].out_port"),
    ("nat.source.0", "to", "anything", "nat.source[0].to"),
    ("nat.source.0", "to", "2001:db8::1", "nat.source[0].to"),
    ("nat.source.0", "source", ["2001:db8::/32"], "nat.source[0].source[0]"),
    ("nat", "source", [{"out_port": "wan"}, {"out_port": "wan"}], "nat.source[1]"),
    ("nat.source.0", "source", ["10.1.0.0/24", "10.1.0.0/24"], "nat.source[0].source"),
    ("nat.port_forwards.0", "in_port", "nope", "nat.port_forwards[0].in_port"),
    ("nat.port_forwards.0", "protocol", "icmp", "nat.port_forwards[0].protocol"),
    ("nat.port_forwards.0", "port", 0, "nat.port_forwards[0].port"),
    ("nat.port_forwards.0", "port", 179, "nat.port_forwards[0].port"),
    ("nat.port_forwards.0", "to", "10.1.0.10:22", "nat.port_forwards[0].to"),
    ("nat.port_forwards.0", "to_port", 65536, "nat.port_forwards[0].to_port"),
    ("nat", "port_forwards", [FORWARD, FORWARD], "nat.port_forwards[1].port"),
]

#: What is set where, and the path at which rendering with these addresses refuses it.
MISPLACED = [
    ("ports.1", "addresses", ["10.1.0.9/16"], "ports[1].addresses"),
    ("ports.1", "addresses", ["10.255.0.1/29", "10.1.0.9/25"], "ports[1].addresses"),
    ("static_routes.0", "via", "10.77.0.1", "static_routes[0].via"),
    ("static_routes.0", "via", "10.1.0.1", "static_routes[0].via"),
    ("bgp.neighbours.0", "address", "10.255.0.1", "bgp.neighbours[0].address"),
    ("bgp.neighbours.0", "address", "10.77.0.1", "bgp.neighbours[0].address"),
    ("nat.source.0", "to", "10.255.0.2", "nat.source[0].to"),
    ("nat.source.0", "to", "10.1.0.1", "nat.source[0].to"),
    ("nat.port_forwards.0", "to", "10.1.0.1", "nat.port_forwards[0].to"),
    ("ports.1", "addresses", ["2001:db8:ff::1/64"], "nat.source[0].out_port"),
    ("ports.1", "addresses", ["2001:db8:ff::1/64"], "nat.port_forwards[0].in_port"),
]


def changed(where: str, key: str, value: object) -> dict[str, Any]:
    document = copy.deepcopy(GOOD)
    part: Any = document
    for step in filter(None, where.split(".")):
        part = part[int(step) if step.isdigit() else step]
    part[key] = value
    return document


def test_the_spec_from_which_every_case_departs_is_good() -> None:
    assert router_cases.files(GOOD)


@pytest.mark.parametrize(("where", "key", "value", "path"), REFUSED)
def test_a_wrong_field_is_refused_at_its_path(where: str, key: str, value: object, path: str) -> None:
    with pytest.raises(ValidationError) as caught:
        router_cases.parse(changed(where, key, value))
    assert path in {problem.path for problem in problems_of(caught.value)}


@pytest.mark.parametrize(("where", "key", "value", "path"), MISPLACED)
def test_what_does_not_fit_the_addresses_is_refused_at_its_path(where: str, key: str, value: object, path: str) -> None:
    with pytest.raises(SpecError) as caught:
        router_cases.files(changed(where, key, value))
    assert path in {problem.path for problem in caught.value.problems}


def test_a_port_without_any_address_is_refused() -> None:
    spec = router_cases.parse({"ports": [{"name": "lan", "segment": "office"}]})
    bare = router_cases.context(spec).ports["lan"].__class__("lan", "seg-lan", ())
    context = KIND.example_context.__class__("svc-x", "x", 1.0, 2**28, {"lan": bare})
    with pytest.raises(SpecError) as caught:
        KIND.render(spec, context)
    assert [problem.path for problem in caught.value.problems] == ["ports[0].addresses"]


def test_every_problem_is_named_at_once() -> None:
    document = changed("static_routes.0", "via", "10.77.0.1")
    document["bgp"]["neighbours"][0]["address"] = "10.77.0.2"
    with pytest.raises(SpecError) as caught:
        router_cases.files(document)
    assert len(caught.value.problems) == 2


HOSTILE = ["a\nb", "a\rb", "a;b", 'a"b', "a'b", "a`b", "!a", "#a", "a!b", "$(a)", "../../etc/passwd", "-a", "a  b"]
HOSTILE += ["a\x00b", "a\u2028b", "a|b", "a?b", "a\\b", "é", "\u202eb", "exit", "end", "no router bgp"]
HOSTILE += ["{{ 7*7 }}", "{% raw %}", "a }\nflush ruleset"]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize(
    ("where", "key"),
    [
        ("ports.0", "name"),
        ("ports.0", "segment"),
        ("bgp.neighbours.0", "description"),
        ("bgp.neighbours.0", "password"),
        ("bgp.neighbours.0", "address"),
        ("static_routes.0", "destination"),
        ("static_routes.0", "via"),
        ("nat.source.0", "to"),
        ("nat.port_forwards.0", "protocol"),
    ],
)
def test_hostile_text_is_refused_or_stays_in_its_line(where: str, key: str, text: str) -> None:
    """Whatever is taken changes no line of a file but the one it belongs to, and adds none."""
    document = changed(where, key, text)
    benign = changed(where, key, "benign") if key in ("description", "password") else copy.deepcopy(GOOD)
    if where == "ports.0" and key == "name":
        document["static_routes"] = benign["static_routes"] = []
    try:
        files = router_cases.files(document)
    except (ValidationError, SpecError):
        return
    for name, content in router_cases.files(benign).items():
        before, after = content.splitlines(), files[name].splitlines()
        assert len(before) == len(after)
        differing = [line for one, line in zip(before, after, strict=True) if one != line]
        assert all(line.endswith(f" {text}") for line in differing)
        assert len(differing) <= 1


def test_a_password_is_in_no_repr_and_no_error() -> None:
    document = changed("bgp.neighbours.0", "password", "hunter2hunter2")
    assert "hunter2" not in repr(router_cases.parse(document))
    assert "hunter2" not in repr(router_cases.render(document))
    document["bgp"]["neighbours"][0]["password"] = "hunter2 hunter2"
    with pytest.raises(ValidationError) as caught:
        router_cases.parse(document)
    assert "hunter2" not in str(caught.value)


def test_a_changed_filter_is_a_new_list() -> None:
    """So that the neighbour is switched in one command and never sees half a filter."""
    rules = [{"action": "permit", "prefix": "10.3.0.0/16"}]
    before = router_cases.files(GOOD)["frr.conf"]
    after = router_cases.files(changed("bgp.neighbours.0", "prefixes_in", rules))["frr.conf"]
    names = [next(line for line in text.splitlines() if line.endswith(" in")) for text in (before, after)]
    assert names[0] != names[1]


def test_a_new_port_leaves_the_router_id() -> None:
    before = router_cases.files(GOOD)["frr.conf"]
    document = changed("", "ports", [*GOOD["ports"], {**PORT, "addresses": ["203.0.113.1/24"]}])
    after = router_cases.files(document)["frr.conf"]
    assert "bgp router-id 10.1.0.1" in before
    assert "bgp router-id 10.1.0.1" in after


def test_changing_routes_neighbours_or_filters_takes_no_new_container() -> None:
    vnfs = [router_cases.render(GOOD), router_cases.render(changed("bgp", "neighbours", []))]
    assert vnfs[0].identity == vnfs[1].identity
    assert vnfs[0].containers[0].identity == vnfs[1].containers[0].identity
    assert vnfs[0].containers[0].config != vnfs[1].containers[0].config


def test_the_form_names_every_field_of_the_spec_once() -> None:
    assert sorted(field for group in KIND.form for field in group.fields) == sorted(KIND.spec.model_fields)


def test_ports_say_where_the_spec_asks_for_them() -> None:
    requests = KIND.ports(router_cases.parse(GOOD))
    assert [(r.name, r.segment, r.path) for r in requests] == [
        ("lan", "office", "ports[0]"),
        ("wan", "net", "ports[1]"),
    ]
