"""Event streams: how soon an open page hears what a PoP reported, and what a thousand open streams cost one core.

The yardstick is a bare uvicorn (`stream_bare.py`) that sends the same bytes to as many streams, with no database,
session or event log behind them.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import django
from celery import Celery

from bench.measure import Figure, Found, compare
from scripts import front
from tests.platform import EVENTS, Platform, wait_for
from tests.routers import lone_router
from worker.config import PopConfig
from worker.host import Pop
from worker.outbox import Outbox
from worker.report import Phase, Report

STREAMS = 1000
REPORTS = 200
#: Seconds between two reports: the next one finds an idle platform, as most do.
PAUSE = 0.1
#: Changes that a thousand streams are told of for one measurement, and the seconds between two.
CHANGES = 40
CHANGE_PAUSE = 0.05
TICKS = os.sysconf("SC_CLK_TCK")


def measure(platform: Platform, *, rounds: int) -> Iterator[Found]:
    platform.run(EVENTS, environment={"NAAS_STREAMS_PER_PERSON": str(2 * STREAMS)})
    try:
        session = platform.run_inside("tests.session", platform.tenant).strip()
        yield from _reports(platform, session)
        yield from _many(platform, session, rounds)
    finally:
        platform.kill(EVENTS)


# --- from a report to a page ------------------------------------------------------------


def _reports(platform: Platform, session: str) -> Iterator[Found]:
    order = platform.done(platform.add("followed", lone_router()))
    instance = order["items"][0]["service"]["id"]
    generation = platform.get(f"services/{instance}")["generation"]
    pop = Pop(PopConfig.model_validate_json((platform.place.pops / platform.pop / "pop.json").read_text()))
    outbox = Outbox(pop, Celery("bench", broker=pop.config.broker_url))
    site = str(platform.client.base_url.host), int(platform.settings["NAAS_WEB_PORT"])
    delays = asyncio.run(_delays(site, _request(platform.tenant, session), outbox, pop.slug, instance, generation))
    outbox.close()
    yield Figure("from a PoP's report to the event at the client, the median", delays[len(delays) // 2] * 1000, "ms")
    yield Figure("the same, p95", delays[int(len(delays) * 0.95)] * 1000, "ms", 500)


async def _delays(
    site: tuple[str, int], request: bytes, outbox: Outbox, pop: str, instance: str, generation: int
) -> list[float]:
    """Seconds from each report's sending until the stream told of the service, sorted."""
    reader, writer = await asyncio.open_connection(*site)
    writer.write(request)
    await reader.readuntil(b"event: hello")
    await asyncio.sleep(2)
    delays = []
    for _ in range(REPORTS):
        sent = time.monotonic()
        report = Report(pop, instance, generation, Phase.CONVERGED, at=time.time())
        await asyncio.to_thread(outbox.report, report)
        await asyncio.wait_for(reader.readuntil(f'["service","{instance}"]'.encode()), 10)
        delays.append(time.monotonic() - sent)
        await asyncio.sleep(PAUSE)
    writer.close()
    return sorted(delays)


def _request(tenant: str, session: str) -> bytes:
    return f"GET /t/{tenant}/events HTTP/1.1\r\nHost: localhost\r\nCookie: sessionid={session}\r\n\r\n".encode()


# --- a thousand streams -----------------------------------------------------------------


def _many(platform: Platform, session: str, rounds: int) -> Iterator[Found]:
    pid = platform.process_id(EVENTS)
    _pin(pid, 0)
    os.sched_setaffinity(0, os.sched_getaffinity(0) - {0} or {0})
    before = _memory(pid)
    product = Audience(str(front.events_socket(platform.place)), _request(platform.tenant, session))
    with _notes(platform) as write, _bare(platform.place.run) as (bare, speak), product:
        yield Figure(f"memory of the process, {STREAMS} streams open", _memory(pid) / 1024, "MiB")
        yield Figure("of that, for each stream", (_memory(pid) - before) / STREAMS, "KiB")
        _pin(bare.pid, 0)
        idle = _processor(pid)
        time.sleep(30)
        yield Figure("processor time of a second in which nothing happens", (_processor(pid) - idle) / 30, "ms")
        with Audience(str(_socket(platform.place.run)), _request("bare", "none")) as yardstick:
            delays: list[float] = []
            yield compare(
                f"processor time of telling {STREAMS} streams of a change",
                yardstick=lambda: _told(bare.pid, yardstick, speak),
                product=lambda: _told(pid, product, write, delays),
                rounds=rounds,
                unit="ms",
            )
            delays.sort()
            late = delays[int(len(delays) * 0.95)]
            yield Figure(f"from a change to the event at {STREAMS} clients, p95", late, "ms", 500)


def _told(pid: int, audience: Audience, tell: Callable[[], float], delays: list[float] | None = None) -> float:
    """Milliseconds of processor time for each of some changes, one after the other, until all have heard of it.

    `delays` get the milliseconds after which each heard of each.
    """
    before = _processor(pid)
    for _ in range(CHANGES):
        audience.heard.clear()
        told = tell()
        wait_for(lambda: len(audience.heard) >= STREAMS, "every stream hearing of a change", 60, 0.005)
        if delays is not None:
            delays += [(at - told) * 1000 for at in audience.heard]
        time.sleep(CHANGE_PAUSE)
    return (_processor(pid) - before) / CHANGES


class Audience:
    """That many clients at a Unix socket, in a thread of their own. `heard` is when each heard of each change."""

    def __init__(self, address: str, request: bytes) -> None:
        self._address, self._request = address, request
        self.heard: list[float] = []
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._sit(),), daemon=True)
        self._over = asyncio.Event()  # bound to the loop that first waits for it

    def __enter__(self) -> Audience:
        self._thread.start()
        if not self._ready.wait(120):
            raise AssertionError(f"{STREAMS} streams were not open after two minutes")
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    async def _sit(self) -> None:
        opened = []
        for _ in range(STREAMS):
            reader, writer = await asyncio.open_unix_connection(self._address)
            writer.write(self._request)
            await reader.readuntil(b"event: hello")
            opened.append((asyncio.create_task(self._listen(reader)), writer))
        self._ready.set()
        await self._over.wait()
        for task, writer in opened:
            task.cancel()
            writer.close()

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        while True:
            await reader.readuntil(b"event: change")
            self.heard.append(time.monotonic())


@contextmanager
def _notes(platform: Platform) -> Iterator[Callable[[], float]]:
    """Writes a change into the event log at each call, and says when."""
    command = (str(platform.place.python), "-m", "bench.events", platform.tenant)
    with subprocess.Popen(
        command, env=platform.core_environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        tell, said = program.stdin, program.stdout
        said.readline()

        def write() -> float:
            tell.write("\n")
            tell.flush()
            return float(said.readline())

        try:
            yield write
        finally:
            program.kill()


@contextmanager
def _bare(run: Path) -> Iterator[tuple[subprocess.Popen[bytes], Callable[[], float]]]:
    """The yardstick, and what makes it tell its streams."""
    command = ("-m", "uvicorn", "bench.stream_bare:application", "--uds", str(_socket(run)), "--no-access-log")
    port = run / "tell.sock"
    environment = {**os.environ, "TELL": str(port)}
    with subprocess.Popen((sys.executable, *command), env=environment, stderr=subprocess.DEVNULL) as program:
        wait_for(lambda: port.exists() and _socket(run).exists(), "the bare server")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:

            def speak() -> float:
                at = time.monotonic()
                line.sendto(b"tell", str(port))
                return at

            try:
                yield program, speak
            finally:
                program.kill()


def _socket(run: Path) -> Path:
    return run / "bare.sock"


def _pin(pid: int, core: int) -> None:
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), {core})


def _memory(pid: int) -> float:
    """Resident, in KiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def _processor(pid: int) -> float:
    """Processor time so far, in ms."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / TICKS


def main(slug: str) -> None:
    """Note a change at each line that is read, and say when that began."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "naas.settings")
    django.setup()
    from tenants import changes
    from tenants.models import Tenant

    tenant = Tenant.objects.get(slug=slug)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for _ in sys.stdin:
        began = time.monotonic()
        changes.note(tenant)
        sys.stdout.write(f"{began}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
