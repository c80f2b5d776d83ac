"""The SBC as a kind of network function: what its VNF is made of. Pure: values in, values out."""

from __future__ import annotations

from collections.abc import Iterator

from sbc.kind.assemble import assemble, certificate_names
from sbc.kind.blueprint import BETWEEN
from sbc.kind.form import FORM
from sbc.kind.probe import PROBE
from sbc.kind.questions import QUESTIONS
from sbc.kind.spec import SbcSpec
from services.kind import Context, Kind, Port, PortRequest


def _ports(spec: SbcSpec) -> tuple[PortRequest, ...]:
    """A port of the SBC for each side, and one of the probe for each side of the test call."""
    return (*_sides(spec), *_probe_ports(spec))


def _sides(spec: SbcSpec) -> Iterator[PortRequest]:
    for position, port in enumerate(spec.ports):
        ways = tuple((way.destination, way.via) for way in port.routes)
        yield PortRequest(port.name, port.segment, f"ports[{position}]", port.addresses, routes=ways)


def _probe_ports(spec: SbcSpec) -> Iterator[PortRequest]:
    for position, port in enumerate(spec.ports):
        if port.name in spec.test_sides:
            path, own = f"ports[{position}]", port.probe_addresses
            yield PortRequest(port.name, port.segment, path, own, vnf=PROBE, field="probe_addresses")


KIND = Kind(
    name="sbc",
    title="Session border controller",
    description="Hides, guards, routes and measures the calls between your PBXs and carriers",
    version=1,
    spec=SbcSpec,
    ports=_ports,
    render=assemble,
    form=FORM,
    blueprints=(BETWEEN,),
    example={
        "ports": [
            {"name": "inside", "segment": "office", "addresses": ["10.11.0.1/24"]},
            {"name": "outside", "segment": "carrier"},
        ],
        "country": "49",
        "most_calls": 100,
    },
    example_context=Context(
        instance="svc-example",
        name="example",
        cpu=1.0,
        memory=1024 * 2**20,
        ports={
            "inside": Port("inside", "seg-office", ("10.11.0.1/24",)),
            "outside": Port("outside", "seg-carrier", ("198.51.100.1/24",)),
            "probe:inside": Port("inside", "seg-office", ("10.11.0.2/24",)),
            "probe:outside": Port("outside", "seg-carrier", ("198.51.100.2/24",)),
        },
    ),
    questions=QUESTIONS,
    certificate=certificate_names,
)
