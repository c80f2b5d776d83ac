"""Makes a PoP known: its keys, its own door to the broker, and the one file its processes need.

The private keys are made here, written to that file and kept nowhere else.
"""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import redis
from django.db import transaction

from services.keys import core_identity
from services.models import Pop, PopStatus
from tenants.actor import Staff
from tenants.verbs import audit
from worker.broker import acl_rules
from worker.config import PopConfig
from worker.errors import PermanentError, TemporaryError
from worker.seal import Identity

HOLDER_IMAGE = "naas/holder:1"


@dataclass(frozen=True)
class HostSettings:
    """Where a PoP's processes find what they need on their host. `fabric` defaults to `naas-<slug>`."""

    state_dir: Path
    docker_socket: str = "unix:///var/run/docker.sock"
    fabric: str | None = None
    root_namespace: str | None = None


@dataclass(frozen=True)
class Place:
    """What customers and the catalogue know of a PoP. Capacity in vCPU and MiB."""

    name: str = ""
    city: str = ""
    country: str = ""
    latitude: Decimal | None = None
    longitude: Decimal | None = None
    vcpu: Decimal = Decimal(0)
    memory_mb: int = 0


def enroll(*, staff: Staff, slug: str, place: Place, host: HostSettings, broker_url: str, file: Path) -> Pop:
    """Make the PoP, open the broker to it and write its configuration file.

    Again with the file in place, it keeps the keys, brings the file and the broker up to date, and leaves
    what staff made of the PoP's description alone.
    Raises `PermanentError` when the file is of another PoP, `TemporaryError` without a broker.
    """
    identity, password = _present(file, slug) or (Identity.generate(f"pop.{slug}"), secrets.token_urlsafe(32))
    config = PopConfig(
        pop=slug,
        broker_url=with_login(broker_url, f"pop-{slug}", password),
        docker_socket=host.docker_socket,
        fabric=host.fabric or f"naas-{slug}",
        root_namespace=host.root_namespace,
        state_dir=host.state_dir,
        holder_image=HOLDER_IMAGE,
        identity=identity,
        core=core_identity().public(),
    )
    with transaction.atomic():
        pop, new = Pop.objects.update_or_create(
            slug=slug,
            defaults={"public_identity": identity.public().to_json()},
            create_defaults={
                "name": place.name or slug,
                "city": place.city,
                "country": place.country,
                "latitude": place.latitude,
                "longitude": place.longitude,
                "vcpu_capacity": place.vcpu,
                "memory_capacity_mb": place.memory_mb,
                "public_identity": identity.public().to_json(),
                "status": PopStatus.OPEN,
            },
        )
        audit.record(staff, "pop.enroll", pop, new=new)
        _open_broker(broker_url, slug, password)
        _write(file, config)
    return pop


def with_login(url: str, user: str, password: str) -> str:
    """The broker's URL with another user in it."""
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{quote(user)}:{quote(password, safe='')}@{place}"))


def _present(file: Path, slug: str) -> tuple[Identity, str] | None:
    if not file.exists():
        return None
    config = PopConfig.model_validate_json(file.read_bytes())
    if config.pop != slug:
        raise PermanentError(f"{file} is the configuration of PoP {config.pop}; choose another file")
    return config.identity, urlsplit(config.broker_url).password or secrets.token_urlsafe(32)


def _open_broker(url: str, slug: str, password: str) -> None:
    """Give the PoP's Redis user its own queue and nothing else, for good (`ACL SAVE`, where there is an ACL file)."""
    try:
        with redis.Redis.from_url(url.replace("redis+socket://", "unix://", 1)) as server:
            server.execute_command("ACL", "SETUSER", f"pop-{slug}", *acl_rules(slug, password))
            if server.config_get("aclfile").get("aclfile"):
                server.execute_command("ACL", "SAVE")
    except redis.ConnectionError as error:
        raise TemporaryError("the broker (REDIS_URL) cannot be reached; start Redis and try again") from error
    except redis.ResponseError as error:
        raise PermanentError(f"the broker does not let this user make others: {error}") from error


def _write(file: Path, config: PopConfig) -> None:
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = file.with_name(f".{file.name}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as out:
        json.dump(config.model_dump(mode="json"), out, indent=2)
        out.flush()
        os.fsync(out.fileno())
    fresh.replace(file)
