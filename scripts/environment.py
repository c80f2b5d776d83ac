"""The installation's own settings, `var/naas.env`: made once, kept from then on.

What is in the file stays as it is, so that a person may edit it; only what is missing is
added. A port that someone else took meanwhile is replaced.
"""

from __future__ import annotations

import base64
import os
import secrets
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from scripts.errors import SetupError
from scripts.place import Place

WEB_PORT = 8000
REDIS_PORT = 6390
#: Ports tried upwards from the preferred one.
TRIED_PORTS = 200

HEADER = """\
# Settings of this installation, made by `make up`. Secrets: keep it to yourself.
# Lines may be changed or added; what is missing is added at the next `make up`.
"""


@dataclass(frozen=True)
class Ports:
    """Ports of the loopback address on which the platform listens."""

    web: int
    redis: int


def prepare(place: Place, *, running: bool) -> dict[str, str]:
    """Read the settings, complete them and write them back.

    While the platform is `running` its ports are in use by itself, so they are left alone.
    """
    known = read(place.env_file)
    wanted = remembered_ports(known)
    ports = wanted if running else Ports(free_port(wanted.web), free_port(wanted.redis))
    settings = complete(known, place.var, ports)
    if settings != known:
        write(place.env_file, settings)
    return settings


def complete(known: Mapping[str, str], var: Path, ports: Ports) -> dict[str, str]:
    """`known` with everything that was missing, and with these ports."""
    password = urlsplit(known.get("REDIS_URL", "")).password or secrets.token_urlsafe(24)
    defaults = {
        "NAAS_VAR": str(var),
        "SECRET_KEY": secrets.token_urlsafe(50),
        "NAAS_ENCRYPTION_KEYS": base64.urlsafe_b64encode(os.urandom(32)).decode(),
        "NAAS_CORE_IDENTITY_FILE": str(var / "keys" / "core.json"),
        "DATABASE_URL": f"sqlite:///{var / 'naas.sqlite3'}",
        # The site is http://localhost here; behind a proxy with TLS this becomes true.
        "NAAS_SECURE_COOKIES": "false",
    }
    settings = defaults | dict(known)
    settings["NAAS_WEB_PORT"] = str(ports.web)
    if not is_foreign_broker(known):
        settings["REDIS_URL"] = f"redis://core:{password}@127.0.0.1:{ports.redis}/0"
    return settings


def is_foreign_broker(settings: Mapping[str, str]) -> bool:
    """Whether someone pointed the installation at a Redis elsewhere, which is then not ours to run."""
    host = urlsplit(settings.get("REDIS_URL", "")).hostname
    return host not in (None, "127.0.0.1")


def remembered_ports(known: Mapping[str, str]) -> Ports:
    return Ports(
        web=int(known.get("NAAS_WEB_PORT") or WEB_PORT),
        redis=urlsplit(known.get("REDIS_URL", "")).port or REDIS_PORT,
    )


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of the loopback address now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: a port whose last connections linger is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port(preferred: int, free: Callable[[int], bool] = is_free) -> int:
    """The first free port from `preferred` upwards."""
    for port in range(preferred, preferred + TRIED_PORTS):
        if free(port):
            return port
    raise SetupError(f"no free port between {preferred} and {preferred + TRIED_PORTS}: set another in var/naas.env")


def read(file: Path) -> dict[str, str]:
    """The settings in a file of `NAME=value` lines; none when there is no file."""
    if not file.exists():
        return {}
    lines = (line.strip() for line in file.read_text().splitlines())
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {name.strip(): value.strip() for name, _, value in pairs}


def write(file: Path, settings: Mapping[str, str]) -> None:
    """Write the file at once, readable for its owner alone."""
    draft = file.with_suffix(".draft")
    draft.touch(mode=0o600)
    draft.chmod(0o600)
    draft.write_text(HEADER + "".join(f"{name}={value}\n" for name, value in settings.items()))
    draft.replace(file)
