"""What only Docker shows: confinement, files on disk, foreign containers, an engine that goes away."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import threading
import time
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from tests.contract.beds import DOCKER_SOCKET, IMAGE, docker_bed, require_docker, run, unique
from worker.errors import PermanentError, TemporaryError
from worker.runtime.docker import MOST_OUTPUT, DockerRuntime
from worker.topology import ConfigFile, Container, Vnf, Volume
from worker.wiring import namespace

pytestmark = pytest.mark.system

#: Of the machine; without it the test's own engine starts one, which takes longer.
CONTAINERD = "/run/containerd/containerd.sock"

MAIN = Container(
    "main",
    IMAGE,
    ("sleep", "600"),
    files=(ConfigFile("secret.conf", "s3cret", 0o600), ConfigFile("open.conf", "größe\n", 0o644)),
    reload=("true",),
    capabilities=("NET_ADMIN",),
    devices=("/dev/net/tun",),
    tmpfs=("/run", "/tmp:size=1m"),
    cpu=0.5,
    memory=64 * 2**20,
)
EDGE = Vnf("edge", (MAIN,), sysctls=(("net.ipv4.ip_forward", "1"),))


@pytest.fixture
def started(docker):
    docker.runtime.add_vnf("svc", EDGE)
    docker.runtime.start("svc", "edge", MAIN)
    return docker


def inspected(bed, *parts):
    (id,) = bed.ids(*parts)
    return json.loads(run("docker", "inspect", id))[0]


def sh(bed, script, timeout=10.0):
    return bed.runtime.exec("svc", "edge", "main", ("sh", "-c", script), timeout=timeout)


class TestConfinement:
    def test_a_container_gets_the_capabilities_it_names_and_no_more(self, started):
        assert sh(started, "grep CapBnd /proc/self/status").output.split() == ["CapBnd:", f"{1 << 12:016x}"]
        assert sh(started, "grep NoNewPrivs /proc/1/status").output.split() == ["NoNewPrivs:", "1"]

    def test_a_containers_root_is_read_only_but_for_its_tmpfs(self, started):
        assert sh(started, "touch /x").status != 0
        assert sh(started, "touch /etc/naas/x").status != 0
        assert sh(started, "touch /run/x /tmp/x && test -c /dev/net/tun").status == 0

    def test_a_container_is_limited_and_never_restarted_by_the_engine(self, started):
        host = inspected(started, "svc", "edge", "main")["HostConfig"]
        assert (host["NanoCpus"], host["Memory"], host["MemorySwap"]) == (5 * 10**8, 64 * 2**20, 64 * 2**20)
        assert host["PidsLimit"] > 0
        assert host["Init"] is True
        assert host["RestartPolicy"]["Name"] in ("", "no")
        assert "max-size" in host["LogConfig"]["Config"]

    def test_the_holder_has_nothing_but_a_namespace(self, started):
        host = inspected(started, "svc", "edge", "")["HostConfig"]
        assert (host["NetworkMode"], host["ReadonlyRootfs"], host["CapDrop"]) == ("none", True, ["ALL"])
        assert not host["CapAdd"]
        assert host["Memory"] <= 16 * 2**20

    def test_the_namespace_has_its_sysctls(self, started):
        def read():
            settings = (
                "net.ipv4.ip_forward",
                "net.ipv6.conf.all.disable_ipv6",
                "net.ipv6.conf.default.disable_ipv6",
                "net.bridge.bridge-nf-call-iptables",
            )
            paths = [Path("/proc/sys", *name.split(".")) for name in settings]
            return [path.read_text().strip() for path in paths if path.exists()]

        values = namespace.call(started.runtime.netns("svc", "edge"), read)
        assert values[:3] == ["1", "0", "0"]
        assert values[3:] in ([], ["0"])

    def test_a_vnf_may_override_a_default(self, docker):
        docker.runtime.add_vnf("svc", Vnf("edge", (), sysctls=(("net.ipv6.conf.all.disable_ipv6", "1"),)))
        path = Path("/proc/sys/net/ipv6/conf/all/disable_ipv6")
        assert namespace.call(docker.runtime.netns("svc", "edge"), path.read_text) == "1\n"

    @pytest.mark.parametrize("setting", ["net.core.rmem_max", "net.ipv4.no_such_setting", "vm.swappiness"])
    def test_a_refused_sysctl_is_told_in_the_engines_words(self, docker, setting):
        with pytest.raises(PermanentError, match=setting.replace(".", "[./]")):
            docker.runtime.add_vnf("svc", Vnf("edge", (), sysctls=((setting, "1"),)))
        docker.runtime.remove_vnf("svc", "edge")
        assert docker.ids() == []

    @pytest.mark.parametrize(
        "wrong",
        [
            replace(MAIN, capabilities=("NO_SUCH",)),
            replace(MAIN, devices=("/dev/no-such",)),
            replace(MAIN, image="naas/no-such-image:1"),
            replace(MAIN, memory=1024),
        ],
        ids=["capability", "device", "image", "memory"],
    )
    def test_a_container_that_cannot_be_is_refused_for_good(self, docker, wrong):
        docker.runtime.add_vnf("svc", EDGE)
        with pytest.raises(PermanentError):
            docker.runtime.start("svc", "edge", wrong)
        docker.runtime.start("svc", "edge", MAIN)
        assert docker.runtime.list("svc")[0].containers[0].running

    def test_a_missing_holder_image_is_named_with_what_to_do(self, docker):
        runtime = DockerRuntime(docker.pop, DOCKER_SOCKET, docker.state, holder_image="naas/no-holder:1")
        with pytest.raises(PermanentError, match=r"naas/no-holder:1.*make images"):
            runtime.add_vnf("svc", EDGE)


class TestFiles:
    def test_modes_are_honoured_and_the_way_there_is_closed(self, started):
        assert sh(started, "stat -c '%a %n' /etc/naas/*").output == (
            "644 /etc/naas/open.conf\n600 /etc/naas/secret.conf\n"
        )
        assert sh(started, "cat /etc/naas/open.conf").output == "größe\n"
        folder = started.state / "vnfs" / "svc" / "edge" / "main"
        assert {path.stat().st_mode & 0o777 for path in (folder, *folder.parents[:3])} == {0o700}

    def test_a_file_is_replaced_whole(self, started):
        path = started.state / "vnfs" / "svc" / "edge" / "main" / "files" / "open.conf"
        with path.open() as before:
            started.runtime.configure("svc", "edge", replace(MAIN, files=(ConfigFile("open.conf", "new"),)))
            assert before.read() == "größe\n"
        assert path.read_text() == "new"
        assert [entry.name for entry in path.parent.iterdir()] == ["open.conf"]

    def test_what_a_killed_worker_left_half_written_goes(self, started):
        folder = started.state / "vnfs" / "svc" / "edge" / "main" / "files"
        (folder / ".draft").write_text("half")
        started.runtime.configure("svc", "edge", MAIN)
        assert sorted(entry.name for entry in folder.iterdir()) == ["open.conf", "secret.conf"]

    def test_files_count_as_applied_only_after_the_reload(self, started):
        changed = replace(MAIN, files=(ConfigFile("open.conf", "new"),), reload=("false",))
        with pytest.raises(PermanentError):
            started.runtime.configure("svc", "edge", changed)
        assert started.runtime.list("svc")[0].containers[0].config is None

    def test_no_folder_is_left_when_the_vnf_goes(self, started):
        started.runtime.start("svc", "edge", replace(MAIN, name="second"))
        started.runtime.stop("svc", "edge", "second")
        folder = started.state / "vnfs" / "svc" / "edge"
        assert [entry.name for entry in folder.iterdir()] == ["main"]
        started.runtime.remove_vnf("svc", "edge")
        assert list((started.state / "vnfs").iterdir()) == []

    def test_files_whose_containers_are_gone_are_found_and_removed(self, started):
        run("docker", "rm", "-f", *started.ids())
        (left,) = started.runtime.list("svc")
        assert (left.name, left.namespace, left.containers) == ("edge", 0, ())
        assert started.runtime.instances() == {"svc"}
        started.runtime.remove_vnf("svc", "edge")
        assert started.runtime.instances() == frozenset()


class TestVolumes:
    SHARED = Volume("shared", "/run/naas")

    @pytest.fixture
    def volume(self, docker):
        docker.runtime.add_vnf("svc", EDGE)
        docker.runtime.start("svc", "edge", replace(MAIN, capabilities=(), volumes=(self.SHARED,)))
        return docker.runtime.volume("svc", "edge", "shared")

    def test_the_way_to_a_volume_is_closed_to_everybody_else_on_the_host(self, docker, volume):
        ours = volume.parents[: volume.parents.index(docker.state / "vnfs") + 1]
        assert {path.stat().st_mode & 0o777 for path in ours} == {0o700}

    def test_a_daemon_writes_there_as_root_without_capabilities_and_as_anybody_else(self, docker, volume):
        assert sh(docker, "echo of root > /run/naas/root").status == 0
        (id,) = docker.ids("svc", "edge", "main")
        run("docker", "exec", "-u", "1000:1000", id, "sh", "-c", "echo of another > /run/naas/other")
        assert {path.name: path.stat().st_uid for path in volume.iterdir()} == {"root": 0, "other": 1000}

    def test_a_daemon_does_not_remove_what_is_anothers(self, docker, volume):
        sh(docker, "echo of root > /run/naas/root")
        (id,) = docker.ids("svc", "edge", "main")
        run("docker", "exec", "-u", "1000:1000", id, "rm", "-f", "/run/naas/root", check=False)
        assert (volume / "root").exists()

    def test_what_a_volume_points_to_stays_when_it_goes(self, docker, volume, tmp_path):
        (tmp_path / "precious").touch()
        (volume / "link").symlink_to(tmp_path)
        docker.runtime.remove_vnf("svc", "edge")
        assert not volume.exists()
        assert (tmp_path / "precious").exists()

    def test_a_volume_survives_an_engine_that_forgot_its_containers(self, docker, volume):
        (volume / "kept").touch()
        run("docker", "rm", "-f", *docker.ids())
        docker.runtime.add_vnf("svc", EDGE)
        docker.runtime.start("svc", "edge", replace(MAIN, volumes=(self.SHARED,)))
        assert sh(docker, "ls /run/naas").output == "kept\n"


class TestExec:
    def test_a_command_that_takes_too_long_is_ended_with_its_children(self, started):
        with pytest.raises(TemporaryError, match="within"):
            sh(started, "sleep 4321 & sleep 4321", timeout=0.5)
        deadline = time.monotonic() + 15
        while "4321" in (found := sh(started, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '; true | true").output):
            assert time.monotonic() < deadline, found
        assert started.runtime.list("svc")[0].containers[0].running

    def test_the_timeout_counts_for_a_command_that_never_stops_talking(self, started):
        begin = time.monotonic()
        with pytest.raises(TemporaryError, match="within"):
            sh(started, "while :; do echo x; sleep 0.01; done", timeout=0.5)
        assert time.monotonic() - begin < 15

    def test_output_is_capped_and_need_not_be_text(self, started):
        result = sh(started, r"head -c 3000000 /dev/zero; printf '\377' >&2")
        assert (result.status, len(result.output)) == (0, MOST_OUTPUT)
        assert sh(started, r"printf '\377ok'").output == "\ufffdok"

    def test_a_command_that_closes_its_output_is_waited_for(self, started):
        assert sh(started, "exec >&- 2>&-; sleep 0.3; exit 5").status == 5
        with pytest.raises(TemporaryError, match="within"):
            sh(started, "exec >&- 2>&-; sleep 60", timeout=0.5)

    def test_a_command_that_is_not_there_gives_a_status(self, started):
        result = started.runtime.exec("svc", "edge", "main", ("no-such-program",), timeout=10)
        assert result.status in (126, 127)
        assert "no-such-program" in result.output

    def test_commands_run_side_by_side(self, started):
        results = []
        threads = [
            threading.Thread(target=lambda n=n: results.append(sh(started, f"sleep 0.2; echo {n}").output))
            for n in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(results) == [f"{n}\n" for n in range(4)]


class TestOwnership:
    def test_a_foreign_container_of_the_same_name_is_left_alone_and_named(self, docker):
        name = f"naas-{docker.pop}.svc.edge"
        id = run("docker", "create", "--name", name, IMAGE, "sleep", "1").strip()
        try:
            with pytest.raises(PermanentError, match=name):
                docker.runtime.add_vnf("svc", EDGE)
            docker.runtime.remove_vnf("svc", "edge")
            assert docker.runtime.list("svc") == ()
            assert run("docker", "ps", "-aq", "--no-trunc", "--filter", f"id={id}").strip() == id
        finally:
            run("docker", "rm", "-f", id)

    def test_pops_on_one_engine_do_not_see_each_other(self, started, tmp_path):
        with docker_bed(tmp_path / "other") as other:
            assert other.runtime.instances() == frozenset()
            other.runtime.add_vnf("svc", EDGE)
            other.runtime.remove_vnf("svc", "edge")
        assert started.runtime.list("svc")[0].containers[0].running

    def test_names_that_could_be_mixed_up_are_apart(self, docker):
        docker.runtime.add_vnf("svc", Vnf("fw", ()))
        docker.runtime.add_vnf("svc", Vnf("fw-agent", ()))
        docker.runtime.start("svc", "fw", replace(MAIN, name="agent"))
        assert [vnf.name for vnf in docker.runtime.list("svc")] == ["fw", "fw-agent"]

    def test_the_longest_names_fit(self, docker):
        instance, vnf, container = "i" * 32, "v" * 32, "c" * 32
        for _ in range(2):
            docker.runtime.add_vnf(instance, Vnf(vnf, ()))
            docker.runtime.start(instance, vnf, replace(MAIN, name=container))
        (live,) = docker.runtime.list(instance)
        assert live.containers[0].running

    def test_only_what_ends_at_this_pop_is_told(self, started, tmp_path):
        begin = time.time()
        with docker_bed(tmp_path / "other") as other:
            other.runtime.add_vnf("foreign", EDGE)
            other.lose_holder("foreign", "edge")
        started.kill("svc", "edge", "main")
        assert next(iter(started.runtime.events(begin - 1))) == "svc"


class Killed(BaseException):
    """As if the worker had been killed here: nothing catches it."""


class TestInterruption:
    @pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
    def test_killed_at_any_call_the_next_try_finishes_it(self, docker, monkeypatch, after):
        """The calls that change something: create and start, of holder and container."""
        calls = {"count": 0, "kill_at": 0}

        def killing(method):
            def call(*args, **kwargs):
                calls["count"] += 1
                dies = calls["count"] == calls["kill_at"]
                if dies and not after:
                    raise Killed
                result = method(*args, **kwargs)
                if dies:
                    raise Killed
                return result

            return call

        client = docker.runtime._client()
        for name in ("create_container", "start"):
            monkeypatch.setattr(client, name, killing(getattr(client, name)))
        for kill_at in count(1):
            calls.update(count=0, kill_at=kill_at)
            try:
                self.build(docker)
            except Killed:
                self.build(docker)
            else:
                break
            (vnf,) = docker.runtime.list("svc")
            assert [(c.running, c.config) for c in vnf.containers] == [(True, MAIN.config)]
            assert len(docker.ids()) == 2
            docker.runtime.remove_vnf("svc", "edge")
            assert docker.ids() == []
        assert kill_at == 5

    def build(self, docker):
        docker.runtime.add_vnf("svc", EDGE)
        docker.runtime.start("svc", "edge", MAIN)

    def test_two_workers_that_build_at_once_make_one_vnf(self, docker):
        runtimes = [docker.runtime, DockerRuntime(docker.pop, DOCKER_SOCKET, docker.state)]
        threads = [threading.Thread(target=self.build_patiently, args=(runtime,)) for runtime in runtimes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(docker.ids()) == 2
        (vnf,) = docker.runtime.list("svc")
        assert [container.running for container in vnf.containers] == [True]

    def build_patiently(self, runtime):
        for _ in range(20):
            try:
                runtime.add_vnf("svc", EDGE)
                runtime.start("svc", "edge", MAIN)
            except TemporaryError:
                time.sleep(0.1)
            else:
                return

    def test_a_forked_worker_gets_a_connection_of_its_own(self, started):
        mine = started.runtime._client()
        answers = multiprocessing.get_context("fork").Queue()

        def child():
            answers.put((started.runtime._client() is mine, started.runtime.instances()))

        process = multiprocessing.get_context("fork").Process(target=child)
        process.start()
        assert answers.get(timeout=20) == (False, frozenset({"svc"}))
        process.join()
        assert started.runtime.instances() == {"svc"}


class TestAnEngineThatGoesAway:
    def test_without_an_engine_everything_waits(self, tmp_path):
        runtime = DockerRuntime("pop", str(tmp_path / "no.sock"), tmp_path)
        for action in (
            runtime.instances,
            lambda: runtime.list("svc"),
            lambda: runtime.add_vnf("svc", EDGE),
            lambda: runtime.start("svc", "edge", MAIN),
            lambda: runtime.remove_vnf("svc", "edge"),
            lambda: runtime.netns("svc", "edge"),
            lambda: next(iter(runtime.events(0))),
        ):
            with pytest.raises(TemporaryError, match="engine"):
                action()

    def test_an_engine_that_was_killed_and_restarted_is_reached_again(self, tmp_path):
        require_docker()
        with Engine(tmp_path) as engine:
            runtime = DockerRuntime(unique("t"), engine.socket, tmp_path)
            assert runtime.instances() == frozenset()
            complaints: list[str] = []
            listener = threading.Thread(target=listen, args=(runtime, complaints))
            listener.start()
            time.sleep(0.3)
            engine.kill()
            listener.join(timeout=10)
            assert complaints
            with pytest.raises(TemporaryError):
                runtime.instances()
            engine.start()
            assert runtime.instances() == frozenset()


def listen(runtime, complaints):
    try:
        next(iter(runtime.events(time.time())))
    except TemporaryError as error:
        complaints.append(str(error))


class Engine:
    """A Docker engine of the test's own, with the containerd that serves the other one."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.socket = str(home / "docker.sock")
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop(signal.SIGTERM)
        for mounted in [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]:
            if mounted.startswith(f"{self.home}/"):
                run("umount", "-l", mounted)

    def start(self) -> None:
        (self.home / "pid").unlink(missing_ok=True)
        has_containerd = Path(CONTAINERD).exists()
        self.process = subprocess.Popen(
            [
                # In a network of its own: without a bridge it would take the host's docker0 away.
                *("unshare", "--net", "dockerd", "-H", f"unix://{self.socket}", "--pidfile", str(self.home / "pid")),
                *("--data-root", str(self.home / "data"), "--exec-root", str(self.home / "exec")),
                *(("--containerd", CONTAINERD, "--containerd-namespace", unique("t")) if has_containerd else ()),
                *("--bridge", "none", "--iptables=false", "--ip6tables=false", "--ip-masq=false"),
            ],
            stderr=subprocess.DEVNULL,
        )
        for _ in range(100):
            if run(
                "docker", "-H", f"unix://{self.socket}", "version", "-f", "{{.Server.Version}}", check=False
            ).strip():
                return
            time.sleep(0.1)
        raise AssertionError("dockerd did not come up")

    def kill(self) -> None:
        self.stop(signal.SIGKILL)

    def stop(self, number: signal.Signals) -> None:
        assert self.process is not None
        os.kill(self.process.pid, number)
        self.process.wait(timeout=20)
