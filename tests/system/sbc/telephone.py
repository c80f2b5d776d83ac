"""The probe beside a box: its container, with an interface on the segment of either side."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sbc.kind import probe
from sbc.kind.entries import Calls
from sbc.kind.spec import SbcSpec
from sbc.policy import Address, Tables, Trunk
from sbc.probe import arguments
from sbc.probe.arguments import PROGRAM, options
from sbc.probe.call import Wanted
from services.kind import Context, Port
from tests.system.sbc.box import CONFINED, INSIDE, INSIDE6, IPV6, OUTSIDE, OUTSIDE6, SIDES, Box, run

CODE = Path(arguments.__file__).parent
SPEC = SbcSpec.model_validate_json(
    json.dumps({"ports": [{"name": port, "segment": port} for port, _, _ in SIDES.values()]})
)
#: The SBC has its addresses as in a box, the probe .99 on either side.
CONTEXT = Context(
    instance="svc-test",
    name="test",
    cpu=1.0,
    memory=2**30,
    ports={
        "inside": Port("inside", "inside", (f"{INSIDE}.1/24", f"{INSIDE6}:1/64")),
        "outside": Port("outside", "outside", (f"{OUTSIDE}.1/24", f"{OUTSIDE6}:1/64")),
        "probe:inside": Port("inside", "inside", (f"{INSIDE}.99/24",)),
        "probe:outside": Port("outside", "outside", (f"{OUTSIDE}.99/24",)),
    },
)
#: What the SBC is told of the two ends of a test call.
TRUNKS: Mapping[str, tuple[Trunk, Calls]] = {trunk.id: (trunk, calls) for trunk, calls in probe.trunks(SPEC, CONTEXT)}
WANTED = probe.wanted(SPEC, CONTEXT)


class Telephone:
    def __init__(self, box: Box) -> None:
        self.box = box
        self.name = f"{box.name}-probe"

    def start(self) -> None:
        alone = ("--network", "none", "--name", self.name, *CONFINED, *IPV6)
        # The code is that of this checkout, which the image may be older than.
        mounts = (f"-v={self.box.dir}/etc:/etc/naas:ro", f"-v={CODE}:/usr/lib/naas/sbc/probe:ro")
        run("docker", "run", "-d", *alone, *mounts, "naas/sbc-probe:1")
        pid = run("docker", "inspect", "-f", "{{.State.Pid}}", self.name).strip()
        for side, (port, net, net6) in SIDES.items():
            bridge = ("ip", "-n", self.box.namespace(side), "link")
            run(*bridge, "add", "segment", "type", "bridge")
            run(*bridge, "add", "probe", "type", "veth", "peer", "name", port, "netns", pid)
            for device in ("sbc0", "probe"):
                run(*bridge, "set", device, "master", "segment")
            for device in ("segment", "probe"):
                run(*bridge, "set", device, "up")
            there = ("nsenter", f"--net=/proc/{pid}/ns/net", "ip")
            run(*there, "addr", "add", f"{net}.99/24", "dev", port)
            run(*there, "addr", "add", f"{net6}:99/64", "dev", port, "nodad")
            run(*there, "link", "set", port, "up")

    def close(self) -> None:
        run("docker", "rm", "-f", self.name, check=False)

    def load(self, *, echo_at: str = "", **changes: dict[str, Any]) -> None:
        """The tables of the test call alone. `changes` are of how the `caller` and the `echo` are carried."""
        trunks = {id: trunk for id, (trunk, _) in TRUNKS.items()}
        if echo_at:
            trunks[probe.ECHO] = dataclasses.replace(trunks[probe.ECHO], addresses=(Address(echo_at),))
        calls = {
            id: dataclasses.replace(calls, **changes.get(id.removeprefix(f"{probe.PROBE}:"), {}))
            for id, (_, calls) in TRUNKS.items()
        }
        self.box.load(Tables(trunks, (probe.ROUTE,)), calls)

    def call(self, wanted: Wanted = WANTED) -> dict[str, Any]:
        """What the program says of a call."""
        command = ("docker", "exec", self.name, PROGRAM, *options(wanted))
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=wanted.within + 10)
        assert done.returncode in (0, 1), done.stdout + done.stderr
        said: dict[str, Any] = json.loads(done.stdout)
        assert said["passed"] == (done.returncode == 0)
        return said
