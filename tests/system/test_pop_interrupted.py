"""A PoP worker that dies as by `kill -9` in the middle of its work leaves nothing that the next sweep does not mend."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.pop import REPOSITORY, TestPop, docker, pop_at, service
from tests.system.test_pop_heals import OTHER, WANTED, container
from worker.config import VARIABLE
from worker.reconcile import reconcile
from worker.topology import DesiredState

pytestmark = pytest.mark.system


@pytest.fixture
def pop(tmp_path: Path) -> Iterator[TestPop]:
    with pop_at(tmp_path / "pop") as running:
        yield running


#: Reconciles what is in the store and dies, as by `kill -9`, after so many reports of steps (two per step).
DYING = """
import os, signal, sys
from pathlib import Path
from worker.config import load
from worker.host import Pop
from worker.reconcile import reconcile
pop, left = Pop(load()), int(sys.argv[2])
def die(step):
    global left
    left -= 1
    if left <= 0:
        os.kill(os.getpid(), signal.SIGKILL)
with pop.store.lock(sys.argv[1]):
    desired = pop.kept(pop.store.row(sys.argv[1]), "pop.reconcile")
    foreign = pop.store.foreign_segments(sys.argv[1])
    print(reconcile(desired, pop.runtime, pop.wiring, die, foreign=foreign).phase)
"""


def reconcile_and_die(pop: TestPop, instance: str, after: int) -> None:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY), VARIABLE: str(pop.file)}
    command = (sys.executable, "-c", DYING, instance, str(after))
    done = subprocess.run(command, env=environment, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, f"it did not die but said {done.stdout}{done.stderr}"


def sweep(pop: TestPop, desired: DesiredState) -> None:
    """What the healer does at its next sweep."""
    outcome = reconcile(desired, pop.pop.runtime, pop.pop.wiring, lambda _: None, foreign=pop.foreign(desired))
    assert outcome.stands, outcome.reason


def test_a_worker_killed_after_any_step_of_an_addition_leaves_it_to_the_sweep(pop: TestPop) -> None:
    pop.keep(OTHER)
    sweep(pop, OTHER)
    others, links = pop.containers("svc-2"), pop.links()
    sweep(pop, WANTED)
    whole = pop.links()
    sweep(pop, DesiredState("svc-1", 1))
    for after in range(1, 13):
        pop.keep(service("svc-1", 2 * after))
        reconcile_and_die(pop, "svc-1", after)
        sweep(pop, service("svc-1", 2 * after))
        assert pop.stands(WANTED)
        assert len(pop.containers()) == 3
        assert pop.links() == whole
        pop.keep(DesiredState("svc-1", 2 * after + 1))
        sweep(pop, DesiredState("svc-1", 2 * after + 1))
        assert pop.links() == links
        assert pop.containers() == {}
    assert pop.containers("svc-2") == others


def test_a_worker_killed_after_any_step_of_a_deletion_leaves_it_to_the_sweep(pop: TestPop) -> None:
    for after in range(1, 11):
        wanted, gone = service("svc-1", 2 * after), DesiredState("svc-1", 2 * after + 1)
        pop.keep(wanted)
        sweep(pop, wanted)
        pop.keep(gone)
        reconcile_and_die(pop, "svc-1", after)
        sweep(pop, gone)
        assert pop.leftovers() == []


def test_a_worker_killed_while_it_reloads_leaves_the_rest_to_the_sweep(pop: TestPop) -> None:
    pop.keep(WANTED)
    sweep(pop, WANTED)
    before = pop.containers()
    for after in (1, 2):
        changed = service("svc-1", after + 1, config=str(after + 1))
        pop.keep(changed)
        reconcile_and_die(pop, "svc-1", after)
        sweep(pop, changed)
        assert docker("exec", container(pop, "edge.main"), "cat", "/run/applied") == str(after + 1)
    assert pop.containers() == before
