"""What a PoP's processes share: its settings, drivers, store and keys, made when first used.

The one place that chooses the drivers. Nothing is opened before a process needs it, so
that no connection crosses a fork.
"""

from __future__ import annotations

import json
from functools import cached_property
from typing import Any

from worker.config import PopConfig
from worker.runtime.base import Runtime
from worker.runtime.docker import DockerRuntime
from worker.seal import Envelope, Forged, seal, unseal
from worker.store import Row, Store
from worker.tables.base import Tables
from worker.tables.redis import RedisTables
from worker.topology import Database, DesiredState
from worker.wiring.base import Wiring
from worker.wiring.netlink import NetlinkWiring


class Pop:
    """One point of presence, as its own processes see it."""

    def __init__(self, config: PopConfig) -> None:
        self.config = config

    @property
    def slug(self) -> str:
        return self.config.pop

    @cached_property
    def runtime(self) -> Runtime:
        config = self.config
        return DockerRuntime(config.pop, config.docker_socket, config.state_dir, config.holder_image)

    @cached_property
    def wiring(self) -> Wiring:
        return NetlinkWiring(self.config.pop, self.config.fabric, self.config.root_namespace)

    @cached_property
    def store(self) -> Store:
        return Store(self.config.state_dir)

    def tables(self, instance: str, vnf: str, database: Database) -> Tables:
        """The database of a VNF, to be closed after use. Raises `TemporaryError` before the VNF was started."""
        return RedisTables(self.runtime.volume(instance, vnf, database.volume), database)

    # --- envelopes --------------------------------------------------------------------

    def open(self, envelope: Envelope, subject: str, *, max_age: float | None = None) -> dict[str, Any]:
        """What the core says in it. Raises `Forged`."""
        return unseal(
            envelope, receiver=self.config.identity, sender=self.config.core, subject=subject, max_age=max_age
        )

    def desired(self, envelope: Envelope, subject: str) -> DesiredState:
        """The desired state in it. Raises `Forged`, and `PermanentError` when the core wrote a malformed one."""
        desired = DesiredState.from_json(self.open(envelope, subject))
        if (desired.instance, desired.generation) != (envelope.instance, envelope.generation):
            raise Forged("the envelope speaks of another instance or generation than its content")
        return desired

    def kept(self, row: Row, subject: str) -> DesiredState:
        """The desired state in force, as the store keeps it."""
        return self.desired(Envelope.from_json(json.loads(row.envelope)), subject)

    def seal(self, payload: dict[str, Any], subject: str, *, instance: str = "", generation: int = 0) -> dict[str, Any]:
        """An envelope to the core, as JSON."""
        envelope = seal(
            payload,
            sender=self.config.identity,
            receiver=self.config.core,
            subject=subject,
            instance=instance,
            generation=generation,
        )
        return envelope.to_json()


def storable(envelope: Envelope) -> bytes:
    """An envelope as the store keeps it (see `Pop.kept`)."""
    return json.dumps(envelope.to_json(), separators=(",", ":")).encode()
