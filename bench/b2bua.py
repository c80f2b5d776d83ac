"""The other yardstick of the SBC: sippy, a B2BUA in Python, which carries no media and hides little.

Its simple program as it comes, with its log switched off, between the same two sides as the SBC.
"""

from __future__ import annotations

import os
import subprocess
import venv
from pathlib import Path

from bench.load import Side
from scripts.place import find_place
from tests.system.sbc.box import INSIDE, IPV6, OUTSIDE, SIDES, Box, run

REQUIREMENTS = Path(__file__).parent / "b2bua.txt"
TICKS = os.sysconf("SC_CLK_TCK")


class SippyBox(Box):
    """The same sides; instead of containers one process, in the holder's namespace."""

    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        python = environment()
        run("docker", "run", "-d", "--network", "none", "--name", self.name, *IPV6, "naas/holder:1")
        for side in SIDES:
            self._wire(side)
        # It has one address, on the outside; the PBX gets there by the inside.
        run("ip", "-n", self.namespace("pbx"), "route", "add", f"{OUTSIDE}.0/24", "via", f"{INSIDE}.1")
        run("ip", "-n", self.namespace("carrier"), "route", "add", f"{INSIDE}.0/24", "via", f"{OUTSIDE}.1")
        pid = run("docker", "inspect", "-f", "{{.State.Pid}}", self.name).strip()
        program = (python, "-m", "sippy.b2bua_simple", "-f", "-l", f"{OUTSIDE}.1", "-n", f"{OUTSIDE}.2:5060")
        with (self.dir / "sippy.err").open("wb") as errors:
            self.process = subprocess.Popen(
                ("nsenter", f"--net=/proc/{pid}/ns/net", *program),
                env={"PATH": os.environ["PATH"], "SIPLOG_BEND": "none"},
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                cwd=self.dir,
            )

    def scenario(self, name: str) -> Path:
        """The same, but that requests within a call go where the first went: sippy names itself as sipp cannot read."""
        copy = self.dir / f"{name}.xml"
        copy.write_text(
            super().scenario(name).read_text().replace("[next_url]", "sip:[service]@[remote_ip]:[remote_port]")
        )
        return copy

    def said(self) -> str:
        return "\n".join(f"{file.name}: {file.read_text()[:2000]}" for file in self.dir.glob("*.err"))

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        super().close()


class Sippy(Side):
    at = f"{OUTSIDE}.1"
    one_of = 50

    def __init__(self) -> None:
        self._sippy = SippyBox()
        super().__init__(self._sippy)

    def used(self, *_: str) -> float:
        """Seconds of processor that the process has had."""
        assert self._sippy.process is not None
        fields = Path(f"/proc/{self._sippy.process.pid}/stat").read_text().rpartition(")")[2].split()
        user, system = fields[11:13]
        return (int(user) + int(system)) / TICKS


def environment() -> Path:
    """The Python of an environment that has sippy, made if there is none."""
    folder = find_place().var / "bench-sippy"
    python, whole = folder / "bin/python", folder / REQUIREMENTS.name
    if not whole.exists() or whole.read_text() != REQUIREMENTS.read_text():
        venv.create(folder, clear=True, with_pip=True)
        run(str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", "-r", str(REQUIREMENTS))
        whole.write_text(REQUIREMENTS.read_text())
    return python
