"""What `plan` decides, case by case. What apply makes of it is in test_worker_apply."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeGuard

import pytest

from worker.errors import PermanentError
from worker.plan import (
    AddSegment,
    AddVnf,
    Configure,
    Plan,
    Plug,
    RemoveSegment,
    RemoveVnf,
    StartContainer,
    Step,
    StopContainer,
    Unplug,
    plan,
)
from worker.topology import (
    ConfigFile,
    Container,
    DesiredState,
    LiveContainer,
    LiveSegment,
    LiveVnf,
    LiveWire,
    ObservedState,
    Route,
    Segment,
    Vnf,
    Wire,
    fabric_port,
)

FRR = Container("frr", "naas/frr:1", files=(ConfigFile("frr.conf", "router bgp 1"),), reload=("reload",))
DNS = Container("dns", "naas/dns:1", files=(ConfigFile("dns.conf", "x"),))
EDGE = Vnf("edge", (FRR, DNS), sysctls=(("net.ipv4.ip_forward", "1"),))
LAN = Segment("lan", mtu=1400)
PORT = Wire(
    "edge",
    "lan0",
    "lan",
    addresses=("10.0.0.1/24", "2001:db8::1/64"),
    mac="02:00:00:00:00:01",
    routes=(Route("0.0.0.0/0", "10.0.0.254"),),
    rate_in=10_000_000,
)
WANTED = DesiredState("svc-1", 1, (LAN,), (EDGE,), (PORT,))
GONE = DesiredState("svc-1", 2)
NOTHING = ObservedState("svc-1")


def live_container(container: Container) -> LiveContainer:
    return LiveContainer(container.name, container.identity, container.config, running=True, namespace=7)


STANDING = ObservedState(
    "svc-1",
    (LiveSegment("lan", LAN.digest, frozenset({fabric_port("svc-1", "edge", "lan0")})),),
    (LiveVnf("edge", EDGE.identity, 7, tuple(map(live_container, EDGE.containers))),),
    (
        LiveWire(
            "edge",
            "lan0",
            "lan",
            PORT.digest,
            mac=PORT.mac,
            mtu=1400,
            addresses=frozenset(PORT.addresses),
            routes=frozenset(PORT.routes),
            shaped_in=True,
        ),
    ),
)


def with_container(**changes: Any) -> ObservedState:
    vnf = STANDING.vnfs[0]
    frr, dns = vnf.containers
    return replace(STANDING, vnfs=(replace(vnf, containers=(replace(frr, **changes), dns)),))


def with_wire(**changes: Any) -> ObservedState:
    return replace(STANDING, wires=(replace(STANDING.wires[0], **changes),))


def kinds(found: Plan) -> list[type[Step]]:
    return [type(step) for step in found.steps]


def only(found: Plan) -> Step:
    (step,) = found.steps
    return step


def test_nothing_is_done_when_everything_stands() -> None:
    found = plan(WANTED, STANDING)
    assert not found
    assert found.steps == ()


def test_a_new_instance_is_made_from_the_outside_in() -> None:
    assert kinds(plan(WANTED, NOTHING)) == [AddSegment, AddVnf, Plug, StartContainer, StartContainer]


def test_a_new_instance_interrupts_nothing() -> None:
    assert plan(WANTED, NOTHING).interrupts == frozenset()


def test_a_deletion_takes_down_everything() -> None:
    found = plan(GONE, STANDING)
    assert kinds(found) == [Unplug, RemoveVnf, RemoveSegment]
    assert found.interrupts == {"edge", "edge:lan0"}


def test_a_segment_that_another_instance_is_on_stays() -> None:
    ports = STANDING.segments[0].ports | {fabric_port("svc-2", "edge", "lan0")}
    shared = replace(STANDING, segments=(replace(STANDING.segments[0], ports=ports),))
    assert kinds(plan(GONE, shared)) == [Unplug, RemoveVnf]


def test_a_deletion_of_what_is_gone_is_empty() -> None:
    assert not plan(GONE, NOTHING)


def test_changed_files_are_a_reload() -> None:
    step = only(plan(WANTED, with_container(config="0" * 16)))
    assert isinstance(step, Configure)
    assert step.reason == "the configuration of frr changed"
    assert step.subject == "edge/frr"


def test_a_configuration_that_was_not_applied_to_the_end_is_applied_again() -> None:
    assert kinds(plan(WANTED, with_container(config=None))) == [Configure]


def test_a_container_that_cannot_reload_is_replaced_when_its_files_change() -> None:
    other = replace(DNS, files=(ConfigFile("dns.conf", "y"),))
    desired = replace(WANTED, vnfs=(replace(EDGE, containers=(FRR, other)),))
    assert kinds(plan(desired, STANDING)) == [StopContainer, StartContainer]


def test_a_new_image_replaces_the_container_and_keeps_the_wires() -> None:
    desired = replace(WANTED, vnfs=(replace(EDGE, containers=(replace(FRR, image="naas/frr:2"), DNS)),))
    found = plan(desired, STANDING)
    assert kinds(found) == [StopContainer, StartContainer]
    assert found.interrupts == {"edge"}


def test_a_stopped_container_is_started() -> None:
    step = only(plan(WANTED, with_container(running=False, namespace=0)))
    assert isinstance(step, StartContainer)
    assert step.reason == "container frr is not running"


def test_a_container_left_in_a_dead_namespace_is_made_again() -> None:
    assert kinds(plan(WANTED, with_container(namespace=6))) == [StopContainer, StartContainer]


def test_a_container_nobody_wants_is_stopped() -> None:
    desired = replace(WANTED, vnfs=(replace(EDGE, containers=(FRR,)),))
    assert only(plan(desired, STANDING)).subject == "edge/dns"


def test_a_dead_holder_takes_its_wires_and_containers_along() -> None:
    dead = replace(STANDING, vnfs=(replace(STANDING.vnfs[0], namespace=0),))
    assert kinds(plan(WANTED, dead)) == [
        Unplug,
        StopContainer,
        StopContainer,
        AddVnf,
        Plug,
        StartContainer,
        StartContainer,
    ]


def test_a_vnf_with_other_system_settings_is_made_again() -> None:
    desired = replace(WANTED, vnfs=(replace(EDGE, sysctls=()),))
    assert kinds(plan(desired, STANDING)) == [Unplug, RemoveVnf, AddVnf, Plug, StartContainer, StartContainer]


def test_a_vnf_keeps_its_volumes_as_long_as_it_is_wanted() -> None:
    remade = plan(replace(WANTED, vnfs=(replace(EDGE, sysctls=()),)), STANDING)
    (forgotten,) = (replace(vnf, identity="", namespace=0, containers=()) for vnf in STANDING.vnfs)
    found_again = plan(WANTED, replace(STANDING, vnfs=(forgotten,), wires=()))
    removed = plan(GONE, STANDING)
    told = [step.comes_back for found in (remade, found_again, removed) for step in found.steps if is_removal(step)]
    assert told == [True, True, False]


def is_removal(step: Step) -> TypeGuard[RemoveVnf]:
    return isinstance(step, RemoveVnf)


def test_another_mtu_is_brought_to_the_segment_and_to_its_wires() -> None:
    desired = replace(WANTED, segments=(replace(LAN, mtu=1300),))
    found = plan(desired, STANDING)
    assert kinds(found) == [AddSegment, Plug]
    assert found.steps[1].reason == "port lan0 has an MTU of 1400, not 1300"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"digest": None}, "port lan0 is half made"),
        ({"digest": "0" * 16}, "the settings of port lan0 changed"),
        ({"segment": "wan"}, "port lan0 is not on segment lan"),
        ({"segment": None}, "port lan0 is not on segment lan"),
        ({"up": False}, "port lan0 is down"),
        ({"mac": "02:00:00:00:00:02"}, "port lan0 has MAC address 02:00:00:00:00:02, not 02:00:00:00:00:01"),
        ({"mtu": 1500}, "port lan0 has an MTU of 1500, not 1400"),
        ({"addresses": frozenset({"2001:db8::1/64"})}, "address 10.0.0.1/24 is missing on lan0"),
        ({"routes": frozenset()}, "the route to 0.0.0.0/0 is missing on lan0"),
        ({"shaped_in": False}, "the rate limits of port lan0 are not as wanted"),
        ({"shaped_out": True}, "the rate limits of port lan0 are not as wanted"),
    ],
)
def test_a_wire_that_differs_is_plugged_and_says_why(changes: dict[str, Any], reason: str) -> None:
    step = only(plan(WANTED, with_wire(**changes)))
    assert isinstance(step, Plug)
    assert step.reason == reason
    assert step.mtu == 1400


def test_a_wire_whose_segment_is_gone_is_plugged_into_the_new_one() -> None:
    assert kinds(plan(WANTED, replace(STANDING, segments=()))) == [AddSegment, Plug]


def test_addresses_and_routes_that_a_daemon_added_are_left_alone() -> None:
    wire = STANDING.wires[0]
    more = with_wire(
        addresses=wire.addresses | {"10.0.0.99/32"}, routes=wire.routes | {Route("192.0.2.0/24", "10.0.0.2")}
    )
    assert not plan(WANTED, more)


def test_another_spelling_of_an_address_is_the_same_address() -> None:
    desired = replace(WANTED, wires=(replace(PORT, addresses=("10.0.0.1/24", "2001:DB8:0:0::1/64")),))
    observed = with_wire(digest=desired.wires[0].digest)
    assert not plan(desired, observed)


def test_a_changed_route_cuts_nothing_and_a_dropped_address_does() -> None:
    rerouted = replace(WANTED, wires=(replace(PORT, routes=()),))
    assert plan(rerouted, STANDING).interrupts == frozenset()
    readdressed = replace(WANTED, wires=(replace(PORT, addresses=("10.0.0.2/24",)),))
    assert plan(readdressed, STANDING).interrupts == {"edge:lan0"}


def test_a_wire_that_moves_leaves_no_segment_behind() -> None:
    desired = replace(WANTED, segments=(Segment("wan", mtu=1400),), wires=(replace(PORT, segment="wan"),))
    assert kinds(plan(desired, STANDING)) == [AddSegment, Plug, RemoveSegment]


@pytest.mark.parametrize(
    "contradiction",
    [
        replace(WANTED, segments=()),
        replace(WANTED, wires=(replace(PORT, vnf="other"),)),
        replace(WANTED, wires=(PORT, PORT)),
        replace(WANTED, vnfs=(EDGE, EDGE)),
        replace(WANTED, segments=(LAN, LAN)),
    ],
)
def test_a_state_that_contradicts_itself_is_refused(contradiction: DesiredState) -> None:
    with pytest.raises(PermanentError, match=r"svc-1|lan|edge"):
        plan(contradiction, NOTHING)


def test_every_step_says_what_it_does_to_what_and_why() -> None:
    for step in (*plan(WANTED, NOTHING).steps, *plan(GONE, STANDING).steps):
        assert step.action
        assert step.subject
        assert len(step.reason.split()) > 2
