"""The routing service: FRR and nftables in a container, wired to the customer's segments."""

from __future__ import annotations

from services.kind import Context, Kind, Port, PortRequest
from services.kinds.router.blueprint import BRANCHES
from services.kinds.router.form import FORM
from services.kinds.router.questions import QUESTIONS
from services.kinds.router.render import render
from services.kinds.router.spec import RouterSpec


def _ports(spec: RouterSpec) -> tuple[PortRequest, ...]:
    return tuple(
        PortRequest(port.name, port.segment, f"ports[{position}]", port.addresses)
        for position, port in enumerate(spec.ports)
    )


KIND = Kind(
    name="router",
    title="Router",
    description="Static routes, BGP and address translation between your segments",
    version=1,
    spec=RouterSpec,
    ports=_ports,
    render=render,
    form=FORM,
    blueprints=(BRANCHES,),
    example={
        "ports": [
            {"name": "lan", "segment": "office", "addresses": ["10.1.0.1/24"]},
            {"name": "wan", "segment": "backbone"},
        ],
        "static_routes": [{"destination": "10.9.0.0/16", "via": "10.1.0.254"}],
        "bgp": {
            "asn": 65001,
            "networks": ["10.1.0.0/24"],
            "neighbours": [{"address": "10.255.0.2", "remote_asn": 65002, "description": "Branch", "bfd": True}],
        },
    },
    example_context=Context(
        instance="svc-example",
        name="example",
        cpu=1.0,
        memory=256 * 2**20,
        ports={
            "lan": Port("lan", "seg-office", ("10.1.0.1/24",)),
            "wan": Port("wan", "seg-backbone", ("10.255.0.1/29",)),
        },
    ),
    questions=QUESTIONS,
    proposals={"bgp.asn": "asn"},
)
