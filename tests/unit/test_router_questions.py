"""The looking glass: which program answers which question, and that no argument becomes an option or a command."""

import json

import pytest
from pydantic import ValidationError

from services.kinds.router import KIND

ASKED = [
    ("routes", {}, ("vtysh", "-c", "show ip route")),
    ("routes", {"family": "ipv6"}, ("vtysh", "-c", "show ipv6 route")),
    ("routes", {"prefix": "10.0.0.0/8"}, ("vtysh", "-c", "show ip route 10.0.0.0/8")),
    ("routes", {"prefix": "2001:DB8::/32"}, ("vtysh", "-c", "show ipv6 route 2001:db8::/32")),
    ("bgp-summary", {}, ("vtysh", "-c", "show bgp summary")),
    ("bgp-neighbour", {"address": "192.0.2.1"}, ("vtysh", "-c", "show bgp neighbors 192.0.2.1")),
    (
        "bgp-routes",
        {"address": "2001:db8::1", "direction": "advertised"},
        ("vtysh", "-c", "show bgp ipv6 unicast neighbors 2001:db8::1 advertised-routes"),
    ),
    (
        "ping",
        {"destination": "192.0.2.1", "count": 2, "port": "wan"},
        ("ping", "-n", "-i", "0.2", "-W", "1", "-M", "do", "-c", "2", "-s", "56", "-I", "wan", "--", "192.0.2.1"),
    ),
    (
        "traceroute",
        {"destination": "192.0.2.1"},
        ("traceroute", "-n", "-q", "1", "-w", "1", "-m", "20", "--", "192.0.2.1"),
    ),
    ("neighbours", {}, ("ip", "neighbour", "show")),
    ("interfaces", {}, ("ip", "-s", "address", "show")),
    ("nat-sessions", {}, ("head", "-n", "500", "/proc/net/nf_conntrack")),
]

REFUSED = [
    ("ping", {}),
    ("ping", {"destination": "-f"}),
    ("ping", {"destination": "--help"}),
    ("ping", {"destination": "192.0.2.1; reboot"}),
    ("ping", {"destination": "192.0.2.1\n"}),
    ("ping", {"destination": "example.net"}),
    ("ping", {"destination": "192.0.2.1", "count": 11}),
    ("ping", {"destination": "192.0.2.1", "count": "4"}),
    ("ping", {"destination": "192.0.2.1", "size": 65507}),
    ("ping", {"destination": "192.0.2.1", "port": "-I"}),
    ("ping", {"destination": "192.0.2.1", "interval": 0}),
    ("traceroute", {"destination": "$(id)"}),
    ("routes", {"prefix": "10.0.0.0/8 json"}),
    ("routes", {"prefix": "10.0.0.0/8\nconfigure"}),
    ("routes", {"family": "all"}),
    ("bgp-neighbour", {"address": "192.0.2.1 | include x"}),
    ("bgp-routes", {"address": "192.0.2.1", "direction": "../x"}),
    ("bgp-summary", {"surprise": 1}),
]


@pytest.mark.parametrize(("name", "arguments", "command"), ASKED)
def test_a_question_becomes_one_argument_list(name: str, arguments: object, command: tuple[str, ...]) -> None:
    question = KIND.questions[name]
    assert question.command(question.arguments.model_validate_json(json.dumps(arguments))) == command


@pytest.mark.parametrize(("name", "arguments"), REFUSED)
def test_an_argument_outside_its_type_is_refused(name: str, arguments: object) -> None:
    with pytest.raises(ValidationError):
        KIND.questions[name].arguments.model_validate_json(json.dumps(arguments))


def test_every_question_is_known_by_its_own_name() -> None:
    assert all(question.name == name for name, question in KIND.questions.items())
