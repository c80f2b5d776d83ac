"""What a PoP mends by itself: no core, no broker, no database. Real containers, real wires.

Timings are printed (`pytest -s`), and bounded generously: the machine is shared.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.pop import TestPop, docker, pop_at, run, service, wait_for
from worker.report import Phase
from worker.topology import DesiredState

pytestmark = [pytest.mark.system, pytest.mark.alone]

WANTED = service("svc-1")
OTHER = service("svc-2", segments=("lan", "dmz"))


@pytest.fixture
def pop(tmp_path: Path) -> Iterator[TestPop]:
    with pop_at(tmp_path / "pop") as running:
        yield running


@pytest.fixture(scope="module")
def tended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestPop]:
    """A PoP with two instances and a healer."""
    with pop_at(tmp_path_factory.mktemp("tended")) as running:
        for desired in (WANTED, OTHER):
            running.keep(desired)
        running.start("worker.healer")
        yield running


@pytest.fixture
def healed(tended: TestPop) -> TestPop:
    """The same, after both instances were found to stand."""
    wait_for(lambda: is_converged(tended, WANTED) and is_converged(tended, OTHER), what="healing")
    return tended


def phase(pop: TestPop, instance: str) -> Phase | None:
    row = pop.pop.store.row(instance)
    return row.phase if row else None


def is_converged(pop: TestPop, desired: DesiredState) -> bool:
    return phase(pop, desired.instance) is Phase.CONVERGED and pop.stands(desired)


def time_to_heal(pop: TestPop, what: str, within: float) -> None:
    begun = time.monotonic()
    assert not pop.stands(WANTED), "nothing was broken"
    wait_for(lambda: pop.stands(WANTED), what=f"healing of {what}")
    took = time.monotonic() - begun
    print(f"\n{what}: healed in {took:.2f} s")
    assert took < within
    wait_for(lambda: is_converged(pop, WANTED) and is_converged(pop, OTHER))


def container(pop: TestPop, name: str, instance: str = "svc-1") -> str:
    return f"naas-{pop.slug}.{instance}.{name}"


def test_a_killed_container_comes_back_with_its_wires(healed: TestPop) -> None:
    before = healed.containers()
    docker("kill", container(healed, "edge.main"))
    time_to_heal(healed, "a killed container", 3.0)
    assert healed.containers() == before


def test_a_removed_container_comes_back(healed: TestPop) -> None:
    docker("rm", "-f", container(healed, "edge.helper"))
    time_to_heal(healed, "a removed container", 3.0)


def test_a_killed_holder_comes_back_with_everything_in_it(healed: TestPop) -> None:
    others = healed.containers("svc-2")
    docker("kill", container(healed, "edge"))
    time_to_heal(healed, "a killed holder", 5.0)
    assert healed.containers("svc-2") == others


def test_a_restarted_holder_gets_its_containers_and_wires_back(healed: TestPop) -> None:
    docker("restart", "-t", "0", container(healed, "edge"))
    wait_for(lambda: is_converged(healed, WANTED), what="healing of a restarted holder")
    pid = docker("inspect", "-f", "{{.State.Pid}}", container(healed, "edge.main")).strip()
    addresses = run("nsenter", f"--net=/proc/{pid}/ns/net", "ip", "-br", "addr")
    assert WANTED.wires[0].addresses[0] in addresses


def test_a_deleted_wire_comes_back_and_the_containers_stay(healed: TestPop) -> None:
    before = healed.containers()
    pid = docker("inspect", "-f", "{{.State.Pid}}", container(healed, "edge")).strip()
    run("nsenter", f"--net=/proc/{pid}/ns/net", "ip", "link", "del", "lan0")
    time_to_heal(healed, "a deleted wire", 3.0)
    assert healed.containers() == before


def test_a_removed_address_comes_back(healed: TestPop) -> None:
    pid = docker("inspect", "-f", "{{.State.Pid}}", container(healed, "edge")).strip()
    address = WANTED.wires[0].addresses[0]
    run("nsenter", f"--net=/proc/{pid}/ns/net", "ip", "addr", "del", address, "dev", "lan0")
    time_to_heal(healed, "a removed address", 3.0)


def test_the_loss_of_everything_is_healed(healed: TestPop) -> None:
    links = healed.links()
    run("ip", "netns", "del", healed.config.fabric)
    docker("rm", "-f", *healed.containers("svc-1").values(), *healed.containers("svc-2").values())
    time_to_heal(healed, "the loss of every container and of the fabric", 10.0)
    assert healed.links() == links


def test_a_reboot_is_healed_at_the_healers_start(healed: TestPop) -> None:
    healed.kill(healed.processes[-1])
    run("ip", "netns", "del", healed.config.fabric)
    docker("rm", "-f", *healed.containers("svc-1").values(), *healed.containers("svc-2").values())
    healed.start("worker.healer")
    time_to_heal(healed, "a reboot (with the healer's own start)", 15.0)


def test_a_deletion_that_nobody_carried_out_is_carried_out_and_its_leftovers_go(healed: TestPop) -> None:
    links = healed.links()
    brief, gone = service("svc-3", segments=("lan", "lab")), DesiredState("svc-3", 2)
    healed.keep(brief)
    wait_for(lambda: is_converged(healed, brief), what="a third instance")
    healed.keep(gone)
    wait_for(lambda: phase(healed, "svc-3") is Phase.GONE, what="the deletion")
    assert healed.containers("svc-3") == {}
    assert healed.links() == links
    healed.pop.runtime.add_vnf("svc-3", brief.vnfs[0])
    assert healed.containers("svc-3")
    wait_for(lambda: healed.containers("svc-3") == {}, what="the removal of leftovers")


def test_what_is_in_no_store_is_reported_and_left_alone(healed: TestPop) -> None:
    healed.pop.runtime.add_vnf("svc-9", WANTED.vnfs[0])
    wait_for(lambda: "svc-9 carries this PoP's mark" in healed.log("worker.healer"), what="the warning")
    assert healed.containers("svc-9")
    healed.pop.runtime.remove_vnf("svc-9", "edge")


def test_the_healer_stays_away_while_somebody_holds_the_lock(healed: TestPop) -> None:
    with healed.pop.store.lock("svc-1"):
        docker("kill", container(healed, "edge.main"))
        time.sleep(2.5)
        assert healed.differs(WANTED) == "container main is not running"
    time_to_heal(healed, "what broke under a lock", 3.0)


def test_the_healer_ends_when_it_is_told_to(pop: TestPop) -> None:
    healer = pop.start("worker.healer")
    wait_for((pop.folder / "state" / "pop.db").exists, what="the healer's start")
    healer.send_signal(signal.SIGTERM)
    assert healer.wait(timeout=5) == 0
