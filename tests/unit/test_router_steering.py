"""The program that changes FRR in the router's container: the order in which it says what."""

import pytest

from services.kinds.router.image.lib.steering import Tree, delta, parse, readable, slot

BASE = """
frr defaults traditional
!
ip route 10.9.0.0/16 10.1.0.254
!
ip prefix-list old seq 5 permit 10.2.0.0/16
!
router bgp 65001
 bgp router-id 10.1.0.1
 neighbor 10.255.0.2 remote-as 65002
 neighbor 10.255.0.2 description One
 neighbor 10.255.0.3 remote-as 65003
 neighbor 10.255.0.3 password s3cret
 !
 address-family ipv4 unicast
  network 10.1.0.0/24
  neighbor 10.255.0.2 activate
  neighbor 10.255.0.2 prefix-list old in
  neighbor 10.255.0.3 activate
 exit-address-family
exit
!
end
"""


def commands(after: str, before: str = BASE) -> list[str]:
    return [line.strip() for line in delta(parse(after), parse(before)) if not line.strip().startswith("exit")]


def test_a_configuration_is_read_as_a_tree() -> None:
    tree: Tree = parse(BASE)
    assert list(tree["router bgp 65001"]["address-family ipv4 unicast"]) == [
        "network 10.1.0.0/24",
        "neighbor 10.255.0.2 activate",
        "neighbor 10.255.0.2 prefix-list old in",
        "neighbor 10.255.0.3 activate",
    ]


def test_the_same_configuration_in_another_order_needs_no_command() -> None:
    moved = BASE.replace(" neighbor 10.255.0.2 description One\n", "").replace(
        " bgp router-id 10.1.0.1\n", " neighbor 10.255.0.2 description One\n bgp router-id 10.1.0.1\n"
    )
    assert commands(moved) == []


@pytest.mark.parametrize("line", ["frr version 8.4.4", "hostname x", "no ipv6 forwarding", "log stdout", "! remark"])
def test_what_tells_of_the_machine_is_no_difference(line: str) -> None:
    assert commands(f"{line}\n{BASE}") == []


def test_a_filter_is_written_before_the_neighbour_turns_to_it_and_the_old_one_goes_last() -> None:
    after = BASE.replace("prefix-list old seq", "prefix-list new seq").replace(
        "prefix-list old in", "prefix-list new in"
    )
    assert commands(after) == [
        "ip prefix-list new seq 5 permit 10.2.0.0/16",
        "router bgp 65001",
        "address-family ipv4 unicast",
        "neighbor 10.255.0.2 prefix-list new in",
        "no ip prefix-list old seq 5 permit 10.2.0.0/16",
    ]


def test_a_value_is_replaced_and_not_taken_away_first() -> None:
    assert commands(BASE.replace("description One", "description Two")) == [
        "router bgp 65001",
        "neighbor 10.255.0.2 description Two",
    ]


def test_a_neighbour_goes_in_one_command_and_takes_its_lines_along() -> None:
    after = "\n".join(line for line in BASE.splitlines() if "10.255.0.3" not in line)
    assert commands(after) == ["router bgp 65001", "no neighbor 10.255.0.3"]


def test_a_changed_route_is_there_before_the_old_one_is_gone() -> None:
    after = BASE.replace("10.1.0.254", "10.1.0.253")
    assert commands(after) == ["ip route 10.9.0.0/16 10.1.0.253", "no ip route 10.9.0.0/16 10.1.0.254"]


def test_another_as_number_takes_the_old_process_away_first() -> None:
    said = commands(BASE.replace("router bgp 65001", "router bgp 65009"))
    assert said[:2] == ["no router bgp 65001", "router bgp 65009"]
    assert not any(line.startswith("no neighbor") for line in said)


def test_what_was_negated_is_said_plainly_to_take_it_back() -> None:
    before = BASE.replace(" bgp router-id", " no bgp ebgp-requires-policy\n bgp router-id")
    assert commands(BASE, before) == ["router bgp 65001", "bgp ebgp-requires-policy"]


def test_a_secret_is_in_neither_a_removal_nor_a_message() -> None:
    after = BASE.replace(" neighbor 10.255.0.3 password s3cret\n", "")
    assert commands(after) == ["router bgp 65001", "no neighbor 10.255.0.3 password"]
    assert "s3cret" not in readable("line 7: % refused: neighbor 10.255.0.3 password s3cret")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("neighbor A prefix-list x in", "neighbor A prefix-list y in", True),
        ("neighbor A prefix-list x in", "neighbor A prefix-list x out", False),
        ("neighbor A timers 10 30", "neighbor A timers 3 9", True),
        ("neighbor A timers 10 30", "neighbor A timers connect 5", False),
        ("neighbor A bfd", "neighbor A bfd profile x", False),
        ("neighbor A bfd profile x", "neighbor A bfd profile y", True),
        ("neighbor A remote-as 1", "neighbor B remote-as 1", False),
        ("bgp router-id 1.1.1.1", "bgp router-id 2.2.2.2", True),
        ("ip route 10.0.0.0/8 10.1.1.1", "ip route 10.0.0.0/8 10.1.1.2", False),
        ("network 10.0.0.0/8", "network 11.0.0.0/8", False),
    ],
)
def test_only_what_has_one_value_shares_a_slot(one: str, other: str, same: bool) -> None:
    assert (slot(one) == slot(other)) is same
