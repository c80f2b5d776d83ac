"""One SBC on its own: three containers in a holder's namespace, and a PBX and a carrier beside it.

Each side is a network namespace with one wire to the SBC. Everything made here has the
box's random name in it and is removed by `close`.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO, Any

import redis as redis_client

from sbc.kind import entries, render
from sbc.policy import Tables

#: The SBC is at .1 and ::1 of each side, what calls through it at .2 and above.
INSIDE, OUTSIDE = "10.11.0", "198.51.100"
INSIDE6, OUTSIDE6 = "fd11:", "2001:db8:77:"
SIDES = {"pbx": ("inside", INSIDE, INSIDE6), "carrier": ("outside", OUTSIDE, OUTSIDE6)}
#: Addresses that a side has, so that it can be several sources.
ADDRESSES = range(2, 12)

SCENARIOS = Path(__file__).parent / "scenarios"
LIBRARIES = Path(render.__file__).parent / "image/redis/lib"
CONFINED = ("--init", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--tmpfs", "/tmp")
IPV6 = tuple(f"--sysctl=net.ipv6.conf.{which}.disable_ipv6=0" for which in ("all", "default"))

IMAGES = {
    name: os.environ.get(f"NAAS_SBC_{name.upper()}", f"naas/sbc-{name}:1")
    for name in ("kamailio", "rtpengine", "redis")
}

Sipp = subprocess.Popen[bytes]


def run(*command: str, check: bool = True) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def until(holds: Callable[[], object], seconds: float = 15.0) -> None:
    """Wait until `holds` neither fails nor is false."""
    end = time.monotonic() + seconds
    while True:
        try:
            if holds() is not False:
                return
        except (OSError, AssertionError, redis_client.RedisError):
            if time.monotonic() > end:
                raise
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


class Box:
    def __init__(self, **engine: Any) -> None:
        self.name = f"sbct{secrets.token_hex(3)}"
        self.dir = Path(tempfile.mkdtemp(prefix=f"{self.name}-"))
        for part in ("run", "state", "etc", "pcap"):
            (self.dir / part).mkdir()
        self.engine = render.Engine(
            sides=tuple(render.Side(port, (f"{net}.1", f"{net6}:1")) for port, net, net6 in SIDES.values()),
            realm="sbc.example",
            redis_password=secrets.token_hex(16),
            **engine,
        )
        self._captures: list[Sipp] = []
        self._newcomers = ADDRESSES.stop
        self._outsiders: list[str] = []

    # --- the SBC ---

    def start(self) -> None:
        run("docker", "run", "-d", "--network", "none", "--name", self.name, *IPV6, "naas/holder:1")
        for side in SIDES:
            self._wire(side)
        self.write_files()
        self.start_redis()
        self.start_rtpengine()
        self.start_kamailio()
        if self.engine.resolvers:
            self._container("resolver", *render.RESOLVER, image=IMAGES["kamailio"])

    def write_files(self) -> None:
        etc = self.dir / "etc"
        for files in render.files(self.engine).values():
            for name, content in files.items():
                (etc / name).write_text(content)
        if self.engine.tls:
            self.issue("tls")
        if not (etc / "hide.key").exists():
            (etc / "hide.key").write_text(secrets.token_hex(32))

    def issue(self, name: str, days: int = 90, *, trusted: bool = True) -> None:
        """A certificate and its key, signed by themselves and trusted as a peer's unless said otherwise."""
        etc = self.dir / "etc"
        crt, key = etc / f"{name}.crt", etc / f"{name}.key"
        kind = ("-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", str(days))
        names = ",".join(f"IP:{net}.{host}" for _, net, _ in SIDES.values() for host in (1, 99))
        subject = ("-subj", f"/CN={name}", "-addext", f"subjectAltName={names}")
        run("openssl", "req", *kind, *subject, "-keyout", str(key), "-out", str(crt))
        if trusted:
            with (etc / "peers.crt").open("a") as peers:
                peers.write(crt.read_text())

    def start_redis(self) -> None:
        # Those of this checkout, which the image may be older than.
        libraries = (f"-v={file}:/usr/lib/naas/{file.name}:ro" for file in LIBRARIES.glob("*.lua"))
        self._container("redis", *render.REDIS, options=tuple(libraries))
        until(lambda: self.redis().ping())

    def start_rtpengine(self) -> None:
        self._container("rtpengine", *render.rtpengine_command(self.engine))

    def start_kamailio(self) -> None:
        self._container("kamailio", *render.kamailio_command(self.engine))
        until(self.answers)

    def answers(self) -> bool:
        return bool(self.rpc("core.uptime"))

    def redis(self, db: int = 0) -> Any:
        path, password = str(self.dir / "run/redis.sock"), self.engine.redis_password
        return redis_client.Redis(unix_socket_path=path, password=password, db=db, decode_responses=True)

    def load(self, tables: Tables, calls: Mapping[str, entries.Calls]) -> None:
        """Make the tables these and no others."""
        self.redis().flushdb()
        self.redis().set("revision", 1)
        self.put(entries.all_entries(tables, calls))

    def put(self, items: Iterable[entries.Entry], *, instead_of: Iterable[entries.Entry] = ()) -> None:
        pipe = self.redis().pipeline()
        for entry in instead_of:
            pipe.hdel(entry.key, entry.field) if entry.value is not None else pipe.srem(entry.key, entry.field)
        for entry in items:
            if entry.value is None:
                pipe.sadd(entry.key, entry.field)
            else:
                pipe.hset(entry.key, entry.field, entry.value)
        pipe.execute()

    def rpc(self, method: str, *params: object) -> Any:
        request = json.dumps({"jsonrpc": "2.0", "method": method, "params": list(params), "id": 1})
        here = self.dir / f"run/c{secrets.token_hex(4)}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.settimeout(2)
            sock.bind(str(here))
            here.chmod(0o666)
            try:
                sock.sendto(request.encode(), str(self.dir / "run/kamailio.rpc"))
                answer = json.loads(sock.recv(1 << 20))
            finally:
                here.unlink()
        assert "error" not in answer, answer
        return answer["result"]

    def counter(self, name: str) -> int:
        """How many calls are counted for a trunk, or in all for `*`."""
        return self.counted().get(name, 0)

    def counted(self) -> dict[str, int]:
        """How many calls are counted, in all and by trunk, where there are any."""
        found = self.rpc("htable.dump", "calls")
        values = {item["name"]: int(item["value"]) for slot in found for item in slot["slot"]}
        return {name: value for name, value in values.items() if value}

    def media_calls(self) -> int:
        """How many calls rtpengine relays."""
        code = "import sys; sys.path.insert(0, sys.argv[1]); from steering.engine import media_console as ask"
        command = ("python3", "-IS", "-c", f"{code}; print(ask('list numsessions'))", render.PROGRAMS)
        said = run("docker", "exec", f"{self.name}-kamailio", *command)
        return int(re.findall(r"own: (\d+)", said)[0])

    def records(self) -> list[dict[str, Any]]:
        """What the calls so far have left, oldest first."""
        return [json.loads(fields["body"]) for _, fields in self.redis().xrange("records")]

    def record(self) -> dict[str, Any]:
        """The last call's record, as soon as it is there."""
        until(lambda: self.records() != [])
        return self.records()[-1]

    def is_ready(self) -> bool:
        return self.program("ready").returncode == 0

    def program(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a program of Kamailio's image, as the platform does."""
        command = ["docker", "exec", f"{self.name}-kamailio", f"{render.PROGRAMS}/{name}", *arguments]
        return subprocess.run(command, check=False, capture_output=True, text=True, timeout=20)

    def logs(self, container: str) -> str:
        return run("docker", "logs", f"{self.name}-{container}")

    def kill(self, container: str) -> None:
        run("docker", "kill", "-s", "KILL", f"{self.name}-{container}")

    def restart(self, container: str) -> None:
        run("docker", "start", f"{self.name}-{container}")

    # --- the sides ---

    def namespace(self, side: str) -> str:
        return f"{self.name}-{side}"

    def newcomer(self, side: str) -> int:
        """The last part of an address of this side that nobody has had before."""
        self._newcomers += 1
        address = f"{SIDES[side][1]}.{self._newcomers}/24"
        run("ip", "-n", self.namespace(side), "addr", "add", address, "dev", "sbc0")
        return self._newcomers

    def outsider(self, side: str) -> tuple[str, str]:
        """A machine of its own on this side: its namespace, and the one address that it has."""
        self._newcomers += 1
        namespace, address = f"{self.name}-{self._newcomers}", f"{SIDES[side][1]}.{self._newcomers}"
        run("ip", "netns", "add", namespace)
        self._outsiders.append(namespace)
        link = ("link", "add", "sbc0", "link", "sbc0", "netns", namespace, "type", "macvlan", "mode", "bridge")
        run("ip", "-n", self.namespace(side), *link)
        run("ip", "-n", namespace, "addr", "add", f"{address}/24", "dev", "sbc0")
        run("ip", "-n", namespace, "link", "set", "sbc0", "up")
        run("ip", "-n", namespace, "link", "set", "lo", "up")
        return namespace, address

    def spawn(self, side: str, *command: str, output: IO[bytes] | int = subprocess.DEVNULL) -> Sipp:
        inside = ["ip", "netns", "exec", self.namespace(side), *command]
        return subprocess.Popen(inside, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=self.dir)

    def sipp(self, side: str, scenario: str, *options: str, at: str = "") -> Sipp:
        """A sipp of `side` at its address `at`; what it says lies in the box's folder."""
        host = at or f"{SIDES[side][1]}.2"
        log = self.dir / f"{side}-{scenario}-{host}"
        command = ["sipp", "-sf", str(self.scenario(scenario)), "-nostdin", "-i", host, "-mi", host]
        errors = ["-trace_err", "-error_file", f"{log}.err"]
        with Path(f"{log}.out").open("wb") as output:
            return self.spawn(side, *command, *errors, *options, output=output)

    def scenario(self, name: str) -> Path:
        """What a sipp is to play."""
        return SCENARIOS / f"{name}.xml"

    def said(self) -> str:
        """What went wrong, for a failing test: the errors of every sipp and the end of the daemons' logs."""
        files = self.dir.glob("*.err")
        errors = "\n".join(f"{file.name}: {file.read_text(errors='replace')[:2000]}" for file in files)
        return errors + self.logs("kamailio")[-1500:] + self.logs("rtpengine")[-500:]

    def capture(self) -> None:
        for side in SIDES:
            command = [
                "tcpdump",
                "-i",
                "sbc0",
                "-U",
                "-s0",
                "--immediate-mode",
                "-w",
                str(self.dir / f"pcap/{side}.pcap"),
            ]
            process = subprocess.Popen(
                ["ip", "netns", "exec", self.namespace(side), *command],
                stderr=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
            )
            assert process.stderr is not None
            process.stderr.readline()
            self._captures.append(process)

    def captured(self) -> dict[str, Path]:
        """The captures of both sides, ended."""
        time.sleep(0.5)
        for process in self._captures:
            process.terminate()
            process.wait()
        self._captures.clear()
        return {side: self.dir / f"pcap/{side}.pcap" for side in SIDES}

    def close(self) -> None:
        for process in self._captures:
            process.terminate()
        for part in ("-resolver", "-kamailio", "-rtpengine", "-redis", ""):
            run("docker", "rm", "-f", self.name + part, check=False)
        for namespace in (*self._outsiders, *map(self.namespace, SIDES)):
            run("ip", "netns", "del", namespace, check=False)
        shutil.rmtree(self.dir, ignore_errors=True)

    def _container(self, name: str, *command: str, options: tuple[str, ...] = (), image: str = "") -> None:
        # The run folder is seen under both its names: Kamailio answers to the path a client is bound to.
        shared = [f"-v={self.dir}/run:{path}" for path in (render.RUN, f"{self.dir}/run")]
        own = [f"-v={self.dir}/etc:{render.FILES}:ro", f"-v={self.dir}/state:{render.STATE}"]
        network = ("--network", f"container:{self.name}")
        mounts = (*shared, *own, *options)
        named = ("--name", f"{self.name}-{name}")
        run("docker", "run", "-d", *named, *network, *CONFINED, *mounts, image or IMAGES[name], *command)

    def _wire(self, side: str) -> None:
        port, net, net6 = SIDES[side]
        namespace, pid = self.namespace(side), run("docker", "inspect", "-f", "{{.State.Pid}}", self.name).strip()
        there = ("nsenter", f"--net=/proc/{pid}/ns/net", "ip")
        here = ("ip", "-n", namespace)
        run("ip", "netns", "add", namespace)
        run(*here, "link", "add", "sbc0", "type", "veth", "peer", "name", port, "netns", pid)
        for ip, device, last in ((there, port, [1]), (here, "sbc0", list(ADDRESSES))):
            for host in last:
                run(*ip, "addr", "add", f"{net}.{host}/24", "dev", device)
            run(*ip, "addr", "add", f"{net6}:{last[0]}/64", "dev", device, "nodad")
            run(*ip, "link", "set", device, "up")
            run(*ip, "link", "set", "lo", "up")
