"""The golden cases of the router, and how a test renders one without the platform around it."""

import itertools
import json
from pathlib import Path

from services.kind import Context, Port
from services.kinds.router import KIND
from services.kinds.router.spec import RouterSpec
from worker.topology import Vnf

CASES = Path(__file__).parent / "router"
NAMES = sorted(path.name for path in CASES.iterdir() if path.is_dir())
FILES = ("frr.conf", "nftables.conf")


def parse(document: object) -> RouterSpec:
    spec = KIND.spec.model_validate_json(json.dumps(document))
    assert isinstance(spec, RouterSpec)
    return spec


def context(spec: RouterSpec) -> Context:
    """Where the spec gives a port no address it gets one, as from the platform."""
    free = itertools.count(1)
    ports = {
        port.name: Port(port.name, f"seg-{port.name}", port.addresses or (f"198.18.{next(free)}.1/24",))
        for port in spec.ports
    }
    return Context(instance="svc-0123456789ab", name="edge", cpu=1.0, memory=256 * 2**20, ports=ports)


def render(document: object) -> Vnf:
    spec = parse(document)
    (vnf,) = KIND.render(spec, context(spec))
    return vnf


def files(document: object) -> dict[str, str]:
    (container,) = render(document).containers
    return {file.name: file.content for file in container.files}


def load(case: str) -> object:
    return json.loads((CASES / case / "spec.json").read_text())
