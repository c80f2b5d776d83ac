"""From rows to values where a kind has more than one VNF: whose port is wired to what."""

from __future__ import annotations

import pytest

from services.addresses import allocate
from services.design import compose, placed_ports
from services.kind import Context, Kind, PortRequest, Spec
from services.models import Address, Segment, ServiceInstance
from services.secrets import new_seed
from tenants.actor import Actor
from worker.topology import Container, DesiredState, Vnf

pytestmark = pytest.mark.django_db

REQUESTS = (
    PortRequest("lan", "lan", "ports[0]"),
    PortRequest("wan", "core", "ports[1]"),
    PortRequest("lan", "lan", "ports[0]", vnf="probe"),
)


class Empty(Spec):
    """Nothing can be said about it."""


def render(_spec: Empty, context: Context) -> tuple[Vnf, ...]:
    """Both VNFs, each with a container that is told the addresses of its own port `lan`."""
    return tuple(
        Vnf(name, (Container("main", "image:1", command=context.ports[key].addresses),))
        for name, key in (("edge", "lan"), ("probe", "probe:lan"))
    )


PAIR = Kind(
    name="pair",
    title="Pair",
    description="Two VNFs",
    version=1,
    spec=Empty,
    ports=lambda _: REQUESTS,
    render=render,
    form=(),
    example={},
    example_context=Context("svc-example", "example", 1.0, 2**28, {}),
)


@pytest.fixture
def pair(standing: ServiceInstance, actor: Actor) -> DesiredState:
    """A pair on the segments of a router that is there already."""
    instance = ServiceInstance.unscoped.create(
        tenant=actor.tenant, pop=standing.pop, kind="pair", name="pair", size=standing.size, spec={}, seed=new_seed()
    )
    ports = placed_ports(instance, PAIR.ports(None))
    allocate(instance, ports)
    return compose(instance, PAIR, Empty(), standing.size, ports)


def test_a_port_belongs_to_the_vnf_it_names_and_otherwise_to_the_first(pair: DesiredState) -> None:
    assert [(wire.vnf, wire.port) for wire in pair.wires] == [("edge", "lan"), ("edge", "wan"), ("probe", "lan")]


def test_two_vnfs_on_one_segment_have_ports_of_one_name_and_addresses_of_their_own(
    pair: DesiredState, lan: Segment
) -> None:
    edge, _, probe = pair.wires
    assert edge.segment == probe.segment == lan.pk
    assert (edge.addresses, probe.addresses) == (("10.1.0.2/24",), ("10.1.0.3/24",))
    assert edge.mac != probe.mac
    assert [vnf.containers[0].command for vnf in pair.vnfs] == [edge.addresses, probe.addresses]


def test_an_address_says_which_vnfs_port_holds_it(pair: DesiredState) -> None:
    held = Address.unscoped.filter(instance=pair.instance).order_by("id")
    assert [row.port for row in held] == ["lan", "wan", "probe:lan"]
