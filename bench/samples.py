"""What sampling costs a PoP with 100 services, next to a bare dump of its interfaces; and samples into the database.

The second part runs as a program of its own in the installation that the environment names (`python -m bench.samples
POP ROUNDS`), because a bench has no settings.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import django
from celery import Celery

from bench.measure import Comparison, Figure, Found, compare
from tests.contract.beds import DOCKER_SOCKET, NetlinkWiringBed
from tests.platform import Platform
from worker.broker import RECONCILE
from worker.config import PopConfig
from worker.host import Pop, storable
from worker.outbox import Outbox
from worker.runtime.docker import DockerRuntime
from worker.sampler import Sampler
from worker.seal import Identity, seal
from worker.topology import Container, DesiredState, Segment, Vnf, Wire
from worker.wiring import namespace

SERVICES = 100
#: Times that a sample is taken for one measurement.
SAMPLES = 20
#: Moments of which samples are taken down at a time.
MOMENTS = 50
HOLDER = "naas/holder:1"
CORE = Identity.generate("core")
LAN = Segment("lan")


def measure(platform: Platform, *, rounds: int) -> Iterator[Found]:
    with services() as (pop, fabric):
        sampler = Sampler(pop, Nowhere(pop, Celery("nowhere")))
        sampler.sample()
        found = compare(
            f"processor time of a sample of {SERVICES} services with two ports and a container each",
            yardstick=lambda: _processor(lambda: namespace.call(fabric, dump)),
            product=lambda: _processor(sampler.sample),
            rounds=rounds,
            unit="ms",
        )
        yield found
        yield Figure("the same for one service", sorted(found.product)[len(found.product) // 2] / SERVICES, "ms")
    said = json.loads(platform.run_inside("bench.samples", platform.pop, str(rounds)))
    yield Comparison(**said)


def _processor(work: Any) -> float:
    """Milliseconds of this process's processors that it takes once."""
    started = time.process_time()
    for _ in range(SAMPLES):
        work()
    return (time.process_time() - started) * 1000 / SAMPLES


class Nowhere(Outbox):
    """Seals what it sends, and sends it nowhere."""

    def _publish(self, task: str, envelope: dict[str, object], queue: str = "") -> bool:
        del task, queue
        return bool(envelope)


def dump() -> None:
    """All interfaces of the namespace with their counters, as the kernel tells them, unread (rtnetlink(7))."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as line:
        line.send(struct.pack("IHHII", 32, 18, 0x301, 1, 0) + bytes(16))
        done = False
        while not done:
            data, at = line.recv(2**18), 0
            while at < len(data):
                length, kind = struct.unpack_from("IH", data, at)
                done = done or kind == 3
                at += (length + 3) & ~3


@contextmanager
def services() -> Iterator[tuple[Pop, str]]:
    """A PoP with that many services, each a VNF with two wires and a container; its fabric."""
    bed, folder = NetlinkWiringBed(), Path(tempfile.mkdtemp(prefix="naas-samples-"))
    pop = _pop(bed, folder)
    wanted = [_service(f"svc-{number:03}") for number in range(SERVICES)]
    try:
        bed.wiring.add_segment(LAN)
        with ThreadPoolExecutor(4) as hands:
            list(hands.map(lambda desired: _build(pop, bed, desired), wanted))
        yield pop, namespace.path_of(bed.fabric)
    finally:
        listed = subprocess.run(
            ["docker", "ps", "-aq", "--filter", f"label=naas.pop={bed.pop}"], capture_output=True, text=True, check=True
        )
        if listed.stdout:
            subprocess.run(["docker", "rm", "-f", *listed.stdout.split()], check=True, capture_output=True)
        bed.clean()
        shutil.rmtree(folder, ignore_errors=True)


def _pop(bed: NetlinkWiringBed, folder: Path) -> Pop:
    pop = Pop(
        PopConfig(
            pop=bed.pop,
            broker_url="redis://127.0.0.1:1/0",
            docker_socket=f"unix://{DOCKER_SOCKET}",
            fabric=bed.fabric,
            root_namespace=bed.root,
            state_dir=folder,
            holder_image=HOLDER,
            identity=Identity.generate(f"pop.{bed.pop}"),
            core=CORE.public(),
        )
    )
    pop.runtime = DockerRuntime(bed.pop, DOCKER_SOCKET, folder, HOLDER)
    pop.wiring = bed.wiring
    return pop


def _service(name: str) -> DesiredState:
    vnf = Vnf("edge", (Container("main", HOLDER),))
    wires = tuple(Wire("edge", port, LAN.id, rate_in=10**9, rate_out=10**9) for port in ("lan", "wan"))
    return DesiredState(name, 1, (LAN,), (vnf,), wires)


def _build(pop: Pop, bed: NetlinkWiringBed, desired: DesiredState) -> None:
    (vnf,) = desired.vnfs
    pop.runtime.add_vnf(desired.instance, vnf)
    pop.runtime.start(desired.instance, vnf.name, vnf.containers[0])
    for wire in desired.wires:
        bed.wiring.plug(desired.instance, wire, pop.runtime.netns(desired.instance, vnf.name), mtu=LAN.mtu)
    envelope = seal(
        desired.to_json(),
        sender=CORE,
        receiver=pop.config.identity.public(),
        subject=RECONCILE,
        instance=desired.instance,
        generation=1,
    )
    pop.store.accept(desired.instance, 1, storable(envelope), segments=(LAN.id,))


# --- into the database ------------------------------------------------------------------


def main(pop: str, rounds: str) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "naas.settings")
    django.setup()
    bench = _Rows(pop)
    try:
        title = f"{MOMENTS} moments of {SERVICES} services into the database"
        found = compare(title, yardstick=bench.time_bare, product=bench.time_taken, rounds=int(rounds))
    finally:
        bench.remove()
    fields = ("title", "yardstick", "product", "ratios", "target")
    sys.stdout.write(json.dumps({field: getattr(found, field) for field in fields}))


class _Rows:
    """Services without anything at a PoP, and samples of them."""

    def __init__(self, pop: str) -> None:
        from services.models import Deployment, OfferingSize, ServiceInstance
        from tenants.models import Tenant

        tenant = Tenant.objects.get(slug=f"tenant-{pop}")
        size = OfferingSize.objects.filter(offering__kind="router").first()
        self.pop = pop
        self.instances = [
            ServiceInstance.unscoped.create(
                tenant=tenant, pop_id=pop, kind="router", name=f"sampled-{number}", size=size, spec={}, seed=""
            )
            for number in range(SERVICES)
        ]
        for instance in self.instances:
            Deployment.unscoped.create(tenant=tenant, instance=instance, pop_id=pop, generation=1)

    def remove(self) -> None:
        for instance in self.instances:
            instance.delete()

    def messages(self) -> list[Any]:
        from worker.samples import Reading, Samples

        ways = [f"port.{way}.{what}" for way in ("in", "out") for what in ("bits", "packets", "errors", "drops")]
        names = [(way, port) for way in ways for port in ("lan", "wan")] + [("cpu", "router"), ("memory", "router")]
        begun = int(time.time()) // 10 * 10 - 10 * MOMENTS
        return [
            Samples(
                self.pop,
                float(begun + 10 * moment),
                tuple(
                    (one.pk, tuple(Reading(*name, round(random.random() * 1e6, 4)) for name in names))
                    for one in self.instances
                ),
            )
            for moment in range(MOMENTS)
        ]

    def time_taken(self) -> float:
        from services import samples
        from worker.samples import Samples

        documents = [message.to_json() for message in self.messages()]
        started = time.perf_counter()
        for document in documents:
            samples.take(Samples.from_json(document))
        return self._ended(started)

    def time_bare(self) -> float:
        """The same rows by `executemany`, a transaction for each moment."""
        from django.db import connection, transaction

        from services.models import Sample
        from services.tiers import RAW, key_of

        tenants = {one.pk: one.tenant_id for one in self.instances}
        rows = [
            [
                (
                    tenants[instance], instance, RAW.width, time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(said.at)),
                    json.dumps({key_of(r.name, r.label): r.value for r in readings}), False,
                )
                for instance, readings in said.readings
            ]
            for said in self.messages()
        ]  # fmt: skip
        query = (
            f'INSERT INTO {Sample._meta.db_table} (tenant_id, instance_id, width, start, "values", rolled)'
            " VALUES (%s, %s, %s, %s, %s, %s)"
        )
        started = time.perf_counter()
        for moment in rows:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.executemany(query, moment)
        return self._ended(started)

    def _ended(self, started: float) -> float:
        """The time since then; what was written is removed, which is not counted."""
        from services.models import Sample

        taken = time.perf_counter() - started
        rows = Sample.unscoped.filter(instance__in=self.instances)
        assert rows.count() == SERVICES * MOMENTS
        rows.delete()
        return taken


if __name__ == "__main__":
    main(*sys.argv[1:])
