"""An SBC between a PBX and a carrier. Pure: answers in, segments and the spec out."""

from __future__ import annotations

from collections.abc import Mapping

from services.kind import Asked, Blueprint, Draft, Net, hosts_of


def _draw(answers: Mapping[str, str]) -> Draft:
    hosts_of(answers, "inside", "outside")
    name = answers["name"]
    nets = (
        Net(f"{name}-inside", answers["inside"], answers["inside_uni"]),
        Net(f"{name}-outside", answers["outside"], answers["outside_uni"]),
    )
    ports = [{"name": side, "segment": f"{name}-{side}"} for side in ("inside", "outside")]
    country = {"country": answers["country"]} if answers["country"] else {}
    return Draft(nets, {name: {"ports": ports, "tls": {}, **country}})


BETWEEN = Blueprint(
    name="sbc-between",
    title="SBC between PBX and carrier",
    description="A session border controller with a side towards your PBX and one towards your carrier. It hides each "
    "from the other, and a test call proves it before it is yours.",
    parts=("PBX", "inside", "SBC", "outside", "carrier"),
    asks=(
        Asked("name", "Name of the SBC", "border"),
        Asked("country", "Country code", "49", help="Numbers are read as dialled there"),
        Asked("inside", "Network of the PBX", "10.40.0.0/24", "prefix"),
        Asked("inside_uni", "Port where the PBX is", of="uni"),
        Asked("outside", "Network towards the carrier", "203.0.113.0/24", "prefix"),
        Asked("outside_uni", "Port towards the carrier", of="uni"),
    ),
    draw=_draw,
    then="When it is there, add the PBX and the carrier as trunks and a route to each, on the pages of the SBC: "
    "in force for the next call, without an order.",
)
