"""From a REST order to packets between two sites, and back to nothing, with things dying on the way."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass

import docker
import pytest

from scripts.place import REPOSITORY
from tests.platform import BEAT, CORE, HEALER, WORKER, Json, Platform, Traces, wait_for
from tests.routers import A, B, Pair, edge, lone_router
from worker import lab

pytestmark = pytest.mark.system

#: The core tells a PoP again what it has not reached after 15 s, and looks every 5 s; the PoP looks every 2 s.
TWO_SWEEPS = 40.0
#: Steps of the plans of a lone router: two segments, a namespace, two wires and a container, and their removal.
STEPS_TO_ADD, STEPS_TO_DELETE = 6, 5

#: How much there is of each thing in `Traces`.
Counts = tuple[int, ...]


def modify(service: str, spec: Json) -> Json:
    return {"action": "modify", "service": service, "spec": spec}


def delete(service: str) -> Json:
    return {"action": "delete", "service": service}


# --- what goes on ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def pair(platform: Platform) -> Iterator[Pair]:
    pair = Pair.ordered(platform)
    yield pair
    pair.delete()


@pytest.fixture(scope="module")
def engine() -> Iterator[docker.APIClient]:
    client = docker.APIClient()
    yield client
    client.close()


@pytest.fixture(scope="module")
def undisturbed(pair: Pair, engine: docker.APIClient) -> str:
    """When the router at B was started."""
    return Frr.of(engine, pair, B.name).started_at


@dataclass(frozen=True)
class Frr:
    """The FRR container of one of the routers."""

    client: docker.APIClient
    name: str

    @classmethod
    def of(cls, client: docker.APIClient, pair: Pair, service: str) -> Frr:
        (name,) = pair.platform.containers(instance=pair.services[service], container="frr")
        return cls(client, name)

    @property
    def id(self) -> str:
        return str(self.client.inspect_container(self.name)["Id"])

    @property
    def started_at(self) -> str:
        return str(self.client.inspect_container(self.name)["State"]["StartedAt"])

    @property
    def process(self) -> int:
        """Its first process; 0 while it does not run."""
        return int(self.client.inspect_container(self.name)["State"]["Pid"])

    def ask(self, command: str) -> Json:
        run = self.client.exec_create(self.name, ["vtysh", "-c", f"{command} json"])["Id"]
        answer: Json = json.loads(self.client.exec_start(run))
        return answer

    def sessions(self) -> dict[str, int]:
        """How often each BGP session that is up has come up."""
        return {
            address: session["connectionsEstablished"]
            for address, session in self.ask("show bgp neighbors").items()
            if session["bgpState"] == "Established"
        }

    def ports(self) -> dict[str, int]:
        """Index of each interface by name."""
        shown = subprocess.check_output(["nsenter", f"--net=/proc/{self.process}/ns/net", "ip", "-json", "link"])
        return {link["ifname"]: link["ifindex"] for link in json.loads(shown)}


@contextmanager
def trickle(platform: Platform) -> Iterator[Callable[[], Json]]:
    """A TCP connection between the hosts that is never idle; called, it ends and says how it fared."""

    def host(site: str, *arguments: str) -> subprocess.Popen[str]:
        command = lab.inside(platform.site(site), sys.executable, "-m", "tests.trickle", *arguments)
        return subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    with host("b", "serve", "7000") as server:
        wait_for(lambda: _listens(platform, "b", 7000), "the echo server")
        with host("a", "run", B.address(4, 10), "7000") as client:

            def finish() -> Json:
                said, _ = client.communicate("", timeout=30)
                assert client.returncode == 0, "the connection broke"
                fared: Json = json.loads(said)
                return fared

            try:
                yield finish
            finally:
                client.kill()
                server.kill()


def _listens(platform: Platform, site: str, port: int) -> bool:
    command = lab.inside(platform.site(site), "ss", "-Hltn", f"sport = :{port}")
    return bool(subprocess.check_output(command))


def test_a_change_of_routes_keeps_tcp_connections_and_bgp_sessions(pair: Pair, engine: docker.APIClient) -> None:
    frr = Frr.of(engine, pair, A.name)
    before = frr.sessions()
    assert len(before) == 2
    with trickle(pair.platform) as finish:
        pair.modify(A, edge(A, B, routes=["172.16.1.0/24", "172.16.2.0/24"], filtered=True))
        pair.modify(A, edge(A, B, routes=["172.16.2.0/24", "172.16.3.0/24"]))
        fared = finish()
    assert "172.16.3.0/24" in frr.ask("show ip route static")
    assert frr.sessions() == before
    assert fared["echoed"] > 10
    assert fared["longest_pause"] < 1.0


def test_a_change_of_configuration_keeps_the_container_and_its_wires(pair: Pair, engine: docker.APIClient) -> None:
    frr = Frr.of(engine, pair, B.name)
    before = frr.id, frr.ports()
    pair.modify(B, edge(B, A, filtered=True))
    assert (frr.id, frr.ports()) == before


def test_a_killed_container_comes_back_to_the_same_wires(pair: Pair, engine: docker.APIClient) -> None:
    frr = Frr.of(engine, pair, A.name)
    ports = frr.ports()
    process = frr.process
    engine.kill(frr.name)
    wait_for(lambda: frr.process not in (0, process), "the repair", TWO_SWEEPS)
    assert frr.ports() == ports
    wait_for(pair.reaches, "traffic after the repair")


# --- what dies ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(platform: Platform, undisturbed: str) -> Counts:
    """How much a lone router leaves at the PoP when nothing dies. The other routers stand before."""
    before = platform.traces()
    order = platform.done(platform.add("whole", lone_router()))
    standing = platform.traces()
    remove(platform, order, before)
    return counts(before, standing)


def counts(before: Traces, after: Traces) -> Counts:
    """How much there is more of each thing."""
    pairs = zip(astuple(before), astuple(after), strict=True)
    return tuple(a - b if isinstance(b, int) else len(a - b) for b, a in pairs)


def remove(platform: Platform, order: Json, before: Traces) -> None:
    """Delete what was ordered; nothing stays behind."""
    platform.done(*(delete(item["service"]["id"]) for item in order["items"]), seconds=TWO_SWEEPS)
    assert platform.traces() == before


def half_steps(count: int) -> list[str]:
    """In the middle of the first step, and after each."""
    return ["step 0.5", *(f"step {number}" for number in range(1, count + 1))]


def await_death(platform: Platform, name: str) -> None:
    wait_for(lambda: not platform.is_running(name), f"the death of {name}", 20)
    assert platform.revive() == (name,)


@pytest.mark.parametrize("point", half_steps(STEPS_TO_ADD))
def test_an_order_survives_the_pop_worker_killed_while_adding(platform: Platform, whole: Counts, point: str) -> None:
    before = platform.traces()
    platform.arm(WORKER, point)
    order = platform.order(platform.add("mortal", lone_router()))
    await_death(platform, WORKER)
    ended = platform.ended(order, TWO_SWEEPS)
    assert ended["state"] == "completed", ended
    assert counts(before, platform.traces()) == whole
    remove(platform, order, before)


@pytest.mark.parametrize("point", half_steps(STEPS_TO_DELETE))
def test_an_order_survives_the_pop_worker_killed_while_deleting(platform: Platform, point: str) -> None:
    before = platform.traces()
    order = platform.done(platform.add("mortal", lone_router()))
    platform.arm(WORKER, point)
    deletion = platform.order(delete(order["items"][0]["service"]["id"]))
    await_death(platform, WORKER)
    assert platform.ended(deletion, TWO_SWEEPS)["state"] == "completed"
    assert platform.traces() == before


@pytest.mark.parametrize("point", half_steps(1))
def test_an_order_survives_the_pop_worker_killed_while_modifying(platform: Platform, whole: Counts, point: str) -> None:
    before = platform.traces()
    order = platform.done(platform.add("mortal", lone_router()))
    platform.arm(WORKER, point)
    change = platform.order(modify(order["items"][0]["service"]["id"], lone_router(routes=["172.16.0.0/24"])))
    await_death(platform, WORKER)
    assert platform.ended(change, TWO_SWEEPS)["state"] == "completed"
    assert counts(before, platform.traces()) == whole
    remove(platform, order, before)


@pytest.mark.parametrize("point", ["task 0.5", "task 1", "task 1.5", "task 2"])
def test_an_order_survives_the_core_killed_between_and_within_tasks(
    platform: Platform, whole: Counts, point: str
) -> None:
    before = platform.traces()
    platform.arm(CORE, point)
    order = platform.order(platform.add("mortal", lone_router()))
    await_death(platform, CORE)
    assert platform.ended(order, TWO_SWEEPS)["state"] == "completed"
    assert counts(before, platform.traces()) == whole
    remove(platform, order, before)


@pytest.mark.parametrize("delay", [0.0, 0.3, 0.6])
def test_an_order_survives_a_broker_that_loses_everything(platform: Platform, whole: Counts, delay: float) -> None:
    before = platform.traces()
    order = platform.order(platform.add("mortal", lone_router()))
    time.sleep(delay)
    platform.empty_broker()
    assert platform.ended(order, TWO_SWEEPS)["state"] == "completed"
    assert counts(before, platform.traces()) == whole
    remove(platform, order, before)


def test_an_order_survives_every_process_killed_at_once(platform: Platform, whole: Counts) -> None:
    before = platform.traces()
    order = platform.order(platform.add("mortal", lone_router()))
    for name in (CORE, BEAT, WORKER, HEALER):
        platform.kill(name)
    for name in (CORE, BEAT, WORKER, HEALER):
        platform.run(name)
    assert platform.ended(order, TWO_SWEEPS)["state"] == "completed"
    assert counts(before, platform.traces()) == whole
    remove(platform, order, before)


def test_whatever_died_the_other_routers_ran_on(pair: Pair, engine: docker.APIClient, undisturbed: str) -> None:
    assert Frr.of(engine, pair, B.name).started_at == undisturbed
    assert pair.reaches()
