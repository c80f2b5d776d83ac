"""A PoP's processes with a real broker: what they may reach there, what they refuse, and what they need."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis

from naas.celery import app as core
from services import dispatch
from tests.servers import RedisServer, redis_server
from tests.system.pop import TestPop, denied, pop_at, service, wait_for
from worker.broker import ANSWER, acl_rules
from worker.report import Answer, Ask, Phase, StepState
from worker.seal import Identity
from worker.topology import DesiredState

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def pop(broker: RedisServer, tmp_path: Path) -> Iterator[TestPop]:
    with pop_at(tmp_path / "pop", broker) as running, broker.client() as client:
        client.delete("core")
        yield running


def test_a_pop_needs_the_broker_alone_from_order_to_deletion(pop: TestPop, broker: RedisServer) -> None:
    pop.start("worker.app")
    pop.order(service("svc-1"))
    made = pop.await_report(1, Phase.CONVERGED)
    assert [(condition.type, condition.status) for condition in made.conditions] == [("alive", "true")]
    assert pop.stands(service("svc-1"))
    before = pop.containers()

    pop.order(service("svc-1", 2, config="2"))
    changed = pop.await_report(2, Phase.CONVERGED)
    assert [(step.action, step.state) for step in changed.steps] == [("configure", StepState.DONE)]
    assert pop.containers() == before

    pop.ask(Ask("q1", "svc-1", "edge", "main", ("cat", "/run/applied"), 5.0))
    answers = (Answer.from_json(content) for task, content in pop.messages() if task == ANSWER)
    assert next(answers) == Answer("q1", "svc-1", 0, "2", "")

    pop.order(DesiredState("svc-1", 3))
    pop.await_report(3, Phase.GONE)
    assert pop.leftovers() == []
    assert "Django" not in pop.log("worker.app")
    with broker.client() as server:
        assert server.execute_command("ACL", "LOG") == []


def test_a_message_that_ends_its_worker_again_and_again_is_dropped(pop: TestPop) -> None:
    worker = pop.start("worker.app")
    pop.order(service("svc-1"))
    pop.await_report(1, Phase.CONVERGED)
    pop.ask(Ask("q1", "svc-1", "edge", "main", ("sleep", "55"), 60.0))
    for attempt in range(1, 4):
        wait_for(lambda n=attempt: sleepers(pop) == n, what=f"attempt {attempt}")  # type: ignore[misc]
        for child in Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text().split():
            os.kill(int(child), signal.SIGKILL)
    wait_for(lambda: "has ended its worker 3 times and is dropped" in pop.log("worker.app"), what="the end of it")
    pop.order(service("svc-1", 2, config="2"))
    pop.await_report(2, Phase.CONVERGED)
    assert sleepers(pop) == 3


def sleepers(pop: TestPop) -> int:
    """How many of the questions were begun: a command outlives whoever asked."""
    counted = ("sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -o 'sleep 5[5]' | wc -l")
    return int(pop.pop.runtime.exec("svc-1", "edge", "main", counted, timeout=10.0).output)


def test_steps_arrive_while_the_plan_runs(pop: TestPop) -> None:
    pop.start("worker.app")
    pop.order(slow_to_reload(service("svc-1")))
    made = pop.await_report(1, Phase.CONVERGED)
    assert [step.state for step in made.steps] == [StepState.DONE] * len(made.steps)
    pop.order(slow_to_reload(service("svc-1", 2, config="2")))
    phases, states = [], []
    for report in pop.reports():
        if report.generation == 2:
            phases.append(report.phase)
            states += [step.state for step in report.steps]
        if phases and phases[-1] is Phase.CONVERGED:
            break
    assert phases[0] is Phase.CONVERGING
    assert (states[0], states[-1]) == (StepState.RUNNING, StepState.DONE)


def slow_to_reload(desired: DesiredState) -> DesiredState:
    """The same, with a container that takes longer to reload than the first message about steps is held back."""
    (vnf,) = desired.vnfs
    main, *others = vnf.containers
    slow = replace(main, reload=("sh", "-c", "sleep 2; cp /etc/naas/config /run/applied"))
    return replace(desired, vnfs=(replace(vnf, containers=(slow, *others)),))


def test_a_lower_generation_and_a_repeat_do_no_harm(pop: TestPop) -> None:
    pop.start("worker.app")
    pop.order(service("svc-1", 5, config="5"))
    pop.await_report(5, Phase.CONVERGED)
    before = pop.containers()
    pop.order(service("svc-1", 4, config="4"))
    pop.order(service("svc-1", 5, config="5"))
    assert pop.await_report(5, Phase.CONVERGED).steps == ()
    assert pop.containers() == before
    assert pop.stands(service("svc-1", 5, config="5"))


def test_what_the_core_did_not_sign_is_refused(pop: TestPop) -> None:
    pop.start("worker.app")
    pop.core, core = Identity.generate("core"), pop.core
    pop.order(service("svc-1"))
    pop.core = core
    pop.order(service("svc-2"))
    pop.await_report(1, Phase.CONVERGED, "svc-2")
    assert pop.containers("svc-1") == {}
    assert "not signed with the key of core" in pop.log("worker.app")


def test_what_cannot_be_done_is_parked_with_its_reason(pop: TestPop) -> None:
    pop.start("worker.app")
    document = service("svc-1").to_json()
    document["vnfs"][0]["containers"][0]["image"] = "naas/there-is-no-such-image:1"
    pop.order(DesiredState.from_json(document))
    assert "there-is-no-such-image" in pop.await_report(1, Phase.PARKED).reason


def test_a_broker_that_goes_away_and_comes_back_stops_nothing(pop: TestPop, broker: RedisServer) -> None:
    pop.start("worker.app")
    pop.start("worker.healer")
    pop.order(service("svc-1"))
    pop.await_report(1, Phase.CONVERGED)
    broker.stop(kill=True)
    name = next(name for name in pop.containers() if name.endswith(".main"))
    pop.pop.runtime._client().kill(name)  # type: ignore[attr-defined]
    wait_for(lambda: pop.stands(service("svc-1")), what="healing without the broker")
    time.sleep(1.0)
    broker.start()
    pop.order(service("svc-1", 2, config="2"))
    pop.await_report(2, Phase.CONVERGED, seconds=40.0)


# --- rights -----------------------------------------------------------------------------


@pytest.fixture
def intruder(broker: RedisServer) -> Iterator[redis.Redis]:
    """A client with the rights of PoP fra1, beside a PoP fra12 and the core."""
    with broker.client() as server:
        for slug in ("fra1", "fra12"):
            server.execute_command("ACL", "SETUSER", f"pop-{slug}", *acl_rules(slug, "secret"))
        server.lpush("pop.fra12", "for fra12")
        server.lpush("core", "for the core")
    with redis.Redis.from_url(broker.url_for("pop-fra1", "secret")) as client:
        yield client


@pytest.mark.parametrize(
    "key", ["pop.fra12", "core", "samples", "pop.fra12.unacked", "_kombu.binding.core", "anything"]
)
@pytest.mark.parametrize(
    "command",
    [
        *("LRANGE {} 0 -1", "BRPOP {} 0", "RPOP {}", "LLEN {}", "GET {}", "HGET {} x", "SMEMBERS {}", "DEL {}"),
        *("SET {} x", "RPUSH {} x", "EXPIRE {} 1", "SADD {} x", "RENAME {} pop.fra1", "COPY {} pop.fra1", "DUMP {}"),
        *("RPOPLPUSH {} pop.fra1", "LMOVE {} pop.fra1 LEFT LEFT", "BLMOVE {} pop.fra1 LEFT LEFT 0"),
    ],
)
def test_a_pop_reaches_no_key_of_others(intruder: redis.Redis, command: str, key: str) -> None:
    assert denied(intruder, *command.format(key).split())


@pytest.mark.parametrize("key", ["pop.fra12", "_kombu.binding.core", "anything"])
def test_a_pop_cannot_push_to_others(intruder: redis.Redis, key: str) -> None:
    assert denied(intruder, "LPUSH", key, "x")


@pytest.mark.parametrize(
    "command",
    [
        *("KEYS *", "SCAN 0", "CONFIG GET *", "ACL LIST", "ACL WHOAMI", "MONITOR", "FLUSHALL", "FLUSHDB", "INFO"),
        *("CLIENT LIST", "SUBSCRIBE x", "PSUBSCRIBE *", "PUBLISH x y", "SCRIPT FLUSH", "SAVE"),
        *("SWAPDB 0 1", "REPLICAOF NO ONE", "MODULE LIST", "RANDOMKEY", "DBSIZE", "FUNCTION LIST", "SHUTDOWN NOSAVE"),
    ],
)
def test_a_pop_commands_nothing_at_the_server(intruder: redis.Redis, command: str) -> None:
    assert denied(intruder, *command.split())


def test_a_script_reaches_no_further_than_its_pop(intruder: redis.Redis) -> None:
    digest = intruder.script_load("return redis.call('LRANGE', KEYS[1], 0, -1)")
    with pytest.raises(redis.exceptions.RedisError, match=r"(?i)permission|can't run"):
        intruder.evalsha(digest, 1, "pop.fra12")
    hidden = intruder.script_load("return redis.call('RPOP', 'core')")
    with pytest.raises(redis.exceptions.RedisError, match=r"(?i)permission|can't run"):
        intruder.evalsha(hidden, 1, "pop.fra1")


def test_a_pop_may_push_to_the_core_and_use_its_own_queue(intruder: redis.Redis) -> None:
    assert intruder.lpush("core", "a report")
    assert intruder.lpush("samples", "some samples")
    assert intruder.lpush("pop.fra1", "own")
    assert intruder.brpop(["pop.fra1"], timeout=1) == (b"pop.fra1", b"own")


def test_rights_given_again_are_the_same(broker: RedisServer) -> None:
    with broker.client() as server:
        listed = []
        for _ in range(2):
            server.execute_command("ACL", "SETUSER", "pop-ams1", *acl_rules("ams1", "secret"))
            listed.append(server.execute_command("ACL", "GETUSER", "pop-ams1"))
    assert listed[0] == listed[1]


def test_a_queue_that_nobody_reads_loses_its_oldest_messages(broker: RedisServer, monkeypatch: Any) -> None:
    with broker.client() as server:
        server.delete("unread")
        for number in range(5):
            server.lpush("unread", f"message {number}")
        monkeypatch.setitem(core.conf, "broker_url", broker.url)
        dispatch.shorten("unread", 3)
        assert server.lrange("unread", 0, -1) == [b"message 4", b"message 3", b"message 2"]
