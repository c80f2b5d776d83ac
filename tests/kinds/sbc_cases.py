"""The golden cases of the SBC, and how a test renders one without the platform around it."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from sbc.kind import KIND, render
from sbc.kind.assemble import engine_of
from sbc.kind.spec import SbcSpec
from services.kind import Context, IssuedCertificate, Port
from tests.sbcs import certificate
from worker.topology import Vnf

CASES = Path(__file__).parent / "sbc/golden"
NAMES = sorted(path.name for path in CASES.iterdir() if path.is_dir())
#: Where a spec gives a port no address it gets these, as from the platform.
ADDRESSES = {"inside": "10.11.0.{}/24", "outside": "198.51.100.{}/24"}


@cache
def load(case: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((CASES / case / "spec.json").read_text())
    if document.get("tls", {}).get("clients") == "required":
        document["tls"]["authorities"] = certificate()[0]
    return document


def parse(case: str) -> SbcSpec:
    spec = KIND.spec.model_validate_json(json.dumps(load(case)))
    assert isinstance(spec, SbcSpec)
    return spec


def context(spec: SbcSpec) -> Context:
    ports = {}
    for port in spec.ports:
        form = ADDRESSES[port.name]
        ports[port.name] = Port(port.name, f"seg-{port.name}", port.addresses or (form.format(1),))
        ports[f"probe:{port.name}"] = Port(port.name, f"seg-{port.name}", port.probe_addresses or (form.format(99),))
    issued = IssuedCertificate("chain", "key", "authority")
    return Context("svc-0123456789ab", "sbc", cpu=2.0, memory=2**30, ports=ports, certificate=issued)


def engine(case: str) -> render.Engine:
    spec = parse(case)
    return engine_of(spec, context(spec))


def vnfs(case: str) -> tuple[Vnf, ...]:
    spec = parse(case)
    return tuple(KIND.render(spec, context(spec)))


def files(case: str) -> dict[str, str]:
    """What the daemons find, but for keys and certificates."""
    of_templates = {name for found in render.files(engine(case)).values() for name in found}
    return {
        file.name: file.content
        for container in vnfs(case)[0].containers
        for file in container.files
        if file.name in of_templates
    }
