"""What every runtime promises, held against the double and Docker."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.contract.beds import IMAGE
from worker.errors import PermanentError, TemporaryError
from worker.topology import ConfigFile, Container, Vnf, Volume

MAIN = Container(
    "main",
    IMAGE,
    ("sleep", "600"),
    files=(ConfigFile("a.conf", "first"), ConfigFile("b.conf", "b")),
    reload=("echo", "reloaded"),
    memory=64 * 2**20,
)
SIDE = Container("side", IMAGE, ("sleep", "600"), memory=64 * 2**20)
EDGE = Vnf("edge", (MAIN, SIDE), sysctls=(("net.ipv4.ip_forward", "1"),))
STATE = Volume("state", "/var/lib/naas")
KEEPER = replace(MAIN, volumes=(STATE, Volume("run", "/run/naas")))


@pytest.fixture
def runtime(runtime_bed):
    return runtime_bed.runtime


@pytest.fixture
def started(runtime):
    """A runtime with EDGE and its MAIN container."""
    runtime.add_vnf("svc", EDGE)
    runtime.start("svc", "edge", MAIN)
    return runtime


def only(runtime):
    """The one VNF and its one container."""
    (vnf,) = runtime.list("svc")
    (container,) = vnf.containers
    return vnf, container


class TestRuntime:
    def test_an_empty_pop_has_nothing_to_list(self, runtime):
        assert runtime.instances() == frozenset()
        assert runtime.list("svc") == ()

    def test_a_vnf_is_a_namespace_with_its_identity(self, runtime):
        runtime.add_vnf("svc", EDGE)
        (vnf,) = runtime.list("svc")
        assert (vnf.name, vnf.identity, vnf.containers) == ("edge", EDGE.identity, ())
        assert vnf.namespace
        assert runtime.instances() == {"svc"}
        assert runtime.netns("svc", "edge")

    def test_adding_a_vnf_twice_keeps_its_namespace(self, runtime):
        runtime.add_vnf("svc", EDGE)
        before = runtime.list("svc")
        runtime.add_vnf("svc", EDGE)
        assert runtime.list("svc") == before

    def test_a_vnf_with_other_sysctls_gets_a_new_namespace(self, started):
        (before,) = started.list("svc")
        changed = replace(EDGE, sysctls=())
        started.add_vnf("svc", changed)
        (after,) = started.list("svc")
        assert after.identity == changed.identity
        # The container still runs in the old one: without it the kernel gives the number away again.
        assert after.namespace not in (0, before.namespace)

    def test_a_started_container_runs_in_its_vnfs_namespace_with_its_files(self, runtime_bed, started):
        vnf, container = only(started)
        assert (container.name, container.identity, container.config) == ("main", MAIN.identity, MAIN.config)
        assert container.running
        assert container.namespace == vnf.namespace
        assert runtime_bed.files("svc", "edge", "main") == {"a.conf": "first", "b.conf": "b"}

    def test_starting_twice_changes_nothing(self, started):
        before = started.list("svc")
        started.start("svc", "edge", MAIN)
        assert started.list("svc") == before

    def test_containers_of_a_vnf_share_its_namespace(self, started):
        started.start("svc", "edge", SIDE)
        (vnf,) = started.list("svc")
        assert [container.name for container in vnf.containers] == ["main", "side"]
        assert {container.namespace for container in vnf.containers} == {vnf.namespace}

    def test_a_killed_container_is_seen_and_started_again(self, runtime_bed, started):
        runtime_bed.kill("svc", "edge", "main")
        _, dead = only(started)
        assert (dead.running, dead.namespace, dead.identity) == (False, 0, MAIN.identity)
        started.start("svc", "edge", MAIN)
        vnf, back = only(started)
        assert back.running
        assert back.namespace == vnf.namespace

    def test_a_container_of_another_identity_replaces_the_one_that_is_there(self, started):
        other = replace(MAIN, command=("sleep", "601"))
        started.start("svc", "edge", other)
        _, container = only(started)
        assert container.identity == other.identity
        assert container.running

    def test_a_container_needs_its_vnfs_namespace(self, runtime):
        with pytest.raises(TemporaryError, match="edge"):
            runtime.start("svc", "edge", MAIN)

    def test_a_missing_image_is_named_with_what_to_do(self, runtime):
        runtime.add_vnf("svc", EDGE)
        with pytest.raises(PermanentError, match=r"naas/no-such-image:1.*build it"):
            runtime.start("svc", "edge", replace(MAIN, image="naas/no-such-image:1"))

    def test_a_lost_holder_is_seen_and_made_again(self, runtime_bed, started):
        (before,) = started.list("svc")
        runtime_bed.lose_holder("svc", "edge")
        (lost,) = started.list("svc")
        assert (lost.namespace, lost.identity) == (0, EDGE.identity)
        with pytest.raises(TemporaryError):
            started.netns("svc", "edge")
        started.add_vnf("svc", EDGE)
        (after,) = started.list("svc")
        assert after.namespace not in (0, before.namespace)

    def test_a_container_left_behind_by_its_holder_is_seen_and_comes_back(self, runtime_bed, started):
        runtime_bed.restart_holder("svc", "edge")
        vnf, stranded = only(started)
        assert stranded.running
        assert stranded.namespace != vnf.namespace
        started.start("svc", "edge", MAIN)
        vnf, back = only(started)
        assert back.namespace == vnf.namespace

    def test_configuring_replaces_the_files_and_keeps_the_container(self, runtime_bed, started):
        changed = replace(MAIN, files=(ConfigFile("a.conf", "second"), ConfigFile("c.conf", "c")))
        assert changed.identity == MAIN.identity
        for _ in range(2):
            started.configure("svc", "edge", changed)
            _, container = only(started)
            assert (container.config, container.running) == (changed.config, True)
        assert runtime_bed.files("svc", "edge", "main") == {"a.conf": "second", "c.conf": "c"}

    def test_a_refused_configuration_is_not_noted_as_applied(self, started):
        bad = replace(MAIN, files=(ConfigFile("a.conf", "bad"),), reload=("sh", "-c", "echo no good; exit 1"))
        with pytest.raises(PermanentError, match="no good"):
            started.configure("svc", "edge", bad)
        _, container = only(started)
        assert container.config is None
        assert container.running
        started.configure("svc", "edge", MAIN)
        assert only(started)[1].config == MAIN.config

    def test_starting_what_runs_with_older_files_reloads_them(self, runtime_bed, started):
        changed = replace(MAIN, files=(ConfigFile("a.conf", "second"),))
        started.start("svc", "edge", changed)
        assert only(started)[1].config == changed.config
        assert runtime_bed.files("svc", "edge", "main") == {"a.conf": "second"}

    def test_configuring_what_does_not_run_waits(self, runtime_bed, started):
        runtime_bed.kill("svc", "edge", "main")
        with pytest.raises(TemporaryError):
            started.configure("svc", "edge", MAIN)

    def test_what_runs_uses_memory_and_processor_time(self, started):
        (first,) = started.usage()
        assert (first.instance, first.vnf) == ("svc", "edge")
        assert first.memory > 0
        (later,) = started.usage()
        assert later.container == first.container
        assert later.cpu >= first.cpu >= 0

    def test_what_does_not_run_uses_nothing(self, runtime_bed, runtime, started):
        runtime_bed.kill("svc", "edge", "main")
        assert runtime.usage() == ()

    def test_exec_gives_status_and_output(self, started):
        result = started.exec("svc", "edge", "main", ("sh", "-c", "echo out; echo err >&2; exit 3"), timeout=10)
        assert (result.status, result.output) == (3, "out\nerr\n")

    def test_exec_has_no_shell(self, started):
        result = started.exec("svc", "edge", "main", ("echo", "$HOME", ";", "`id`"), timeout=10)
        assert result.output == "$HOME ; `id`\n"

    def test_exec_ends_at_its_timeout(self, started):
        with pytest.raises(TemporaryError):
            started.exec("svc", "edge", "main", ("sleep", "60"), timeout=0.5)

    def test_exec_needs_a_running_container(self, runtime_bed, started):
        with pytest.raises(TemporaryError):
            started.exec("svc", "edge", "other", ("echo",), timeout=10)
        runtime_bed.kill("svc", "edge", "main")
        with pytest.raises(TemporaryError):
            started.exec("svc", "edge", "main", ("echo",), timeout=10)

    def test_stopping_removes_the_container_and_nothing_else(self, started):
        started.start("svc", "edge", SIDE)
        for _ in range(2):
            started.stop("svc", "edge", "main")
            vnf, container = only(started)
            assert container.name == "side"
            assert container.running
            assert vnf.namespace

    def test_removing_a_vnf_removes_everything_of_it(self, started):
        started.add_vnf("svc", Vnf("other", ()))
        for _ in range(2):
            started.remove_vnf("svc", "edge")
            assert [vnf.name for vnf in started.list("svc")] == ["other"]
        started.remove_vnf("svc", "other")
        assert started.instances() == frozenset()

    def test_instances_do_not_see_each_other(self, started):
        started.add_vnf("other", EDGE)
        assert started.instances() == {"svc", "other"}
        started.remove_vnf("other", "edge")
        _, container = only(started)
        assert container.running

    def test_what_ends_is_told(self, runtime_bed, started):
        runtime_bed.kill("svc", "edge", "main")
        assert next(iter(started.events(since=0))) == "svc"


@pytest.fixture
def filled(runtime_bed):
    """A VNF whose container wrote something into its volume."""
    runtime_bed.runtime.add_vnf("svc", EDGE)
    runtime_bed.runtime.start("svc", "edge", KEEPER)
    runtime_bed.put("svc", "edge", "main", STATE, "log", "written")
    return runtime_bed


class TestVolumes:
    def test_a_volume_is_somewhere_once_a_container_with_it_was_started(self, runtime):
        runtime.add_vnf("svc", EDGE)
        with pytest.raises(TemporaryError, match="state"):
            runtime.volume("svc", "edge", "state")
        runtime.start("svc", "edge", KEEPER)
        assert runtime.volume("svc", "edge", "state") != runtime.volume("svc", "edge", "run")

    def test_containers_of_a_vnf_share_a_volume_each_at_its_path(self, filled):
        elsewhere = Volume("state", "/mnt/of-main")
        filled.runtime.start("svc", "edge", replace(SIDE, volumes=(elsewhere,)))
        assert filled.contents("svc", "edge", "side", elsewhere) == {"log": "written"}
        filled.put("svc", "edge", "side", elsewhere, "more", "of the side")
        assert filled.contents("svc", "edge", "main", STATE) == {"log": "written", "more": "of the side"}

    def test_a_volume_outlives_its_container(self, filled):
        filled.kill("svc", "edge", "main")
        filled.runtime.start("svc", "edge", KEEPER)
        assert filled.contents("svc", "edge", "main", STATE) == {"log": "written"}
        filled.runtime.stop("svc", "edge", "main")
        filled.runtime.start("svc", "edge", replace(KEEPER, command=("sleep", "601")))
        assert filled.contents("svc", "edge", "main", STATE) == {"log": "written"}

    def test_a_volume_outlives_its_namespace_when_the_vnf_comes_back(self, filled):
        filled.runtime.remove_vnf("svc", "edge", keep_volumes=True)
        (left,) = filled.runtime.list("svc")
        assert (left.name, left.namespace, left.containers) == ("edge", 0, ())
        filled.runtime.add_vnf("svc", EDGE)
        filled.runtime.start("svc", "edge", KEEPER)
        assert filled.contents("svc", "edge", "main", STATE) == {"log": "written"}

    @pytest.mark.parametrize("kept_before", [False, True])
    def test_nothing_of_a_volume_is_left_when_the_vnf_goes(self, filled, kept_before):
        if kept_before:
            filled.runtime.remove_vnf("svc", "edge", keep_volumes=True)
        for _ in range(2):
            filled.runtime.remove_vnf("svc", "edge")
            assert filled.runtime.instances() == frozenset()
            with pytest.raises(TemporaryError):
                filled.runtime.volume("svc", "edge", "state")

    def test_a_vnf_without_volumes_leaves_nothing_to_come_back_to(self, started):
        started.remove_vnf("svc", "edge", keep_volumes=True)
        assert started.instances() == frozenset()

    def test_vnfs_do_not_share_volumes(self, filled):
        filled.runtime.add_vnf("svc", Vnf("other", ()))
        filled.runtime.start("svc", "other", KEEPER)
        assert filled.contents("svc", "other", "main", STATE) == {}


class TestNotices:
    @pytest.fixture
    def noticed(self, filled):
        """Whether the container says that it is ready; it just did."""
        filled.put("svc", "edge", "main", STATE, "ready.main", "")
        return lambda: filled.runtime.noticed("svc", "edge", "main", "state")

    def test_a_notice_is_seen_once_its_container_gave_it(self, filled):
        assert not filled.runtime.noticed("svc", "edge", "main", "state")
        filled.put("svc", "edge", "main", STATE, "ready.side", "")
        assert not filled.runtime.noticed("svc", "edge", "main", "state")
        filled.put("svc", "edge", "main", STATE, "ready.main", "")
        assert filled.runtime.noticed("svc", "edge", "main", "state")

    def test_what_was_said_before_a_start_says_nothing_after_it(self, filled, noticed):
        filled.kill("svc", "edge", "main")
        filled.runtime.start("svc", "edge", KEEPER)
        assert not noticed()

    def test_what_was_said_of_other_files_is_withdrawn(self, filled, noticed):
        filled.runtime.configure("svc", "edge", replace(KEEPER, files=(ConfigFile("a.conf", "second"),)))
        assert not noticed()

    def test_the_notice_of_another_container_stays(self, filled, noticed):
        filled.runtime.start("svc", "edge", replace(SIDE, volumes=(STATE,)))
        assert noticed()

    def test_where_there_is_no_volume_nobody_said_anything(self, started):
        assert not started.noticed("svc", "edge", "main", "state")
