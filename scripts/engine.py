"""Docker: used when it runs, started when it does not, stopped again only by whom it was started.

How it is started is decided by `decide`, from what was found; nothing else here decides.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from scripts import commands
from scripts.errors import SetupError
from scripts.place import Place

CONTAINERD_SOCKET = Path("/run/containerd/containerd.sock")
DAEMON_CONFIG = Path("/etc/docker/daemon.json")
#: Seconds until a started engine must answer. After an unclean end containerd takes its time.
START_TIMEOUT = 90.0


class Start(Enum):
    """How Docker comes to run."""

    NOT_NEEDED = "it ran already"
    BY_SYSTEMD = "started by systemctl"
    AS_PROCESS = "started as processes of this platform"


@dataclass(frozen=True)
class Found:
    """What the machine was found to have."""

    answers: bool
    systemd_unit: bool
    dockerd: bool
    containerd_answers: bool


def look() -> Found:
    return Found(
        answers=answers(),
        systemd_unit=Path("/run/systemd/system").is_dir() and commands.succeeds("systemctl", "cat", "docker.service"),
        dockerd=shutil.which("dockerd") is not None,
        containerd_answers=commands.succeeds("ctr", "--connect-timeout", "2s", "version"),
    )


def decide(found: Found) -> Start:
    """Raises `SetupError` when there is nothing to start."""
    if found.answers:
        return Start.NOT_NEEDED
    if found.systemd_unit:
        return Start.BY_SYSTEMD
    if found.dockerd:
        return Start.AS_PROCESS
    raise SetupError("Docker does not answer and dockerd is not installed: run scripts/bootstrap.sh")


def answers() -> bool:
    return commands.succeeds("docker", "version", "--format", "{{.Server.Version}}")


def version() -> str:
    return commands.run("docker", "version", "--format", "{{.Server.Version}}").strip()


def containerd_command() -> tuple[str, ...]:
    return ("containerd",)


def dockerd_command(config: Path = DAEMON_CONFIG) -> tuple[str, ...]:
    """Live restore keeps containers alive while dockerd is away.

    It and containerd's address are left out where the machine's own configuration sets them:
    dockerd refuses to be told twice.
    """
    options = {"containerd": ("--containerd", str(CONTAINERD_SOCKET)), "live-restore": ("--live-restore",)}
    configured = json.loads(config.read_text()) if config.exists() else {}
    return ("dockerd", *(word for name, words in options.items() if name not in configured for word in words))


def start_unit(place: Place) -> None:
    """Start Docker's systemd unit and remember that it was us."""
    commands.run("systemctl", "start", "docker.service")
    _note(place).write_text("docker.service was started by make up\n")


def was_started(place: Place) -> bool:
    """Whether `start_unit` started it."""
    return _note(place).exists()


def stop_unit(place: Place) -> str:
    """Stop what `start_unit` started, unless someone else's containers run by now. Says what was done."""
    if others := foreign_containers():
        return f"left running for {', '.join(others)}"
    # Its socket would start it again at the next question; not every Docker has one.
    commands.succeeds("systemctl", "stop", "docker.socket")
    commands.run("systemctl", "stop", "docker.service")
    _note(place).unlink()
    return "stopped"


def foreign_containers() -> tuple[str, ...]:
    """Names of running containers that carry no mark of a PoP."""
    lines = commands.run("docker", "ps", "--format", '{{.Names}}\t{{.Label "naas.instance"}}').splitlines()
    return tuple(name for name, _, instance in (line.partition("\t") for line in lines) if not instance)


def wait_until(ready: Callable[[], bool], what: str, timeout: float, log: Path) -> None:
    """Look again and again until `ready`. Raises `SetupError` naming the log when it takes longer than `timeout`."""
    deadline = time.monotonic() + timeout
    while not ready():
        if time.monotonic() > deadline:
            raise SetupError(f"{what} did not answer within {timeout:.0f} s; see {log}")
        time.sleep(0.2)


def _note(place: Place) -> Path:
    return place.run / "docker-started"
