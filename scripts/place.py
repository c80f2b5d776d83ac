"""Where things lie: the repository, and `var/` with everything that an installation makes.

`NAAS_VAR` puts `var/` elsewhere, so that several installations can live on one machine.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scripts.errors import SetupError

REPOSITORY = Path(__file__).resolve().parent.parent

#: Unix socket paths end at 107 bytes; supervisor appends a process id to its own while it starts.
LONGEST_SOCKET = 96


@dataclass(frozen=True)
class Place:
    """One installation: its code in `repo`, everything it makes in `var`."""

    repo: Path
    var: Path

    @property
    def env_file(self) -> Path:
        return self.var / "naas.env"

    @property
    def run(self) -> Path:
        return self.var / "run"

    @property
    def log(self) -> Path:
        return self.var / "log"

    @property
    def pops(self) -> Path:
        return self.var / "pops"

    @property
    def redis(self) -> Path:
        return self.var / "redis"

    @property
    def supervisor_socket(self) -> Path:
        return self.run / "supervisor.sock"

    @property
    def python(self) -> Path:
        return self.bin("python")

    def bin(self, program: str) -> Path:
        """A program of the virtual environment."""
        return self.repo / ".venv" / "bin" / program

    def make(self) -> None:
        """Make the folders, readable for their owner alone: they hold keys."""
        for folder in (self.var, self.run, self.log, self.pops, self.redis, self.var / "keys"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def find_place(environment: Mapping[str, str] = os.environ) -> Place:
    var = Path(environment.get("NAAS_VAR") or REPOSITORY / "var").absolute()
    place = Place(REPOSITORY, var)
    if len(bytes(place.supervisor_socket)) > LONGEST_SOCKET:
        raise SetupError(f"{place.supervisor_socket} is too long for a Unix socket: set NAAS_VAR to a shorter path")
    return place
