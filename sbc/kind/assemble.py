"""Puts an SBC together: one VNF of three containers, and beside it the probe that proves with a call that it works.

Pure. What a daemon's file says is decided in `render`; here stands which container gets which file,
how much of the size each may take, and by what the PoP knows that all of it works.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from naas.core.errors import Problem
from sbc.kind import probe, render
from sbc.kind.compile import hosts
from sbc.kind.probe import PROBE
from sbc.kind.spec import SbcSpec
from services.kind import Context, SpecError
from worker.topology import ConfigFile, Container, Database, Exec, ProbeRole, Vnf, Volume

VNF = "sbc"
KAMAILIO, RTPENGINE, REDIS, RESOLVER = "kamailio", "rtpengine", "redis", "resolver"
IMAGES = {name: f"naas/sbc-{name}:1" for name in (KAMAILIO, RTPENGINE, REDIS, PROBE)}
#: One of the programs that stand beside Kamailio.
IMAGES[RESOLVER] = IMAGES[KAMAILIO]
PROGRAMS = render.PROGRAMS
#: The timeouts in rtpengine's file are applied by Kamailio's program, and the resolver reads its own each time: there
#: is nothing to do where they lie.
RELOADS = {KAMAILIO: render.RELOAD, RTPENGINE: ("true",), RESOLVER: ("true",)}

#: What one core carries: calls with their media, and new ones in a second.
CALLS_PER_CORE = 500
CALLS_PER_SECOND_AND_CORE = 100

#: Messages that a trunk's address may send in a second: so many for each call that may come, and never fewer.
MESSAGES_PER_CALL = 20
LEAST_TRUSTED_RATE = 1000

#: Limits, not reservations: signalling and media are seldom at their peak together.
CPU = {KAMAILIO: 0.6, RTPENGINE: 0.6, REDIS: 0.3, PROBE: 0.25, RESOLVER: 0.1}
#: Parts of the size's memory.
MEMORY = {KAMAILIO: 0.45, RTPENGINE: 0.2, REDIS: 0.25, PROBE: 0.1, RESOLVER: 0.08}
#: What of its container's memory Redis may fill with data; the rest is for rewriting its file.
REDIS_DATA = 0.5

TMPFS = ("/tmp:size=16m,mode=1777",)  # noqa: S108 - a mount of the container

SYSCTLS = (
    ("net.ipv4.conf.all.accept_redirects", "0"),
    ("net.ipv4.conf.all.accept_source_route", "0"),
    # An address answers on its own side only.
    ("net.ipv4.conf.all.arp_announce", "2"),
    ("net.ipv4.conf.all.arp_ignore", "1"),
    ("net.ipv4.conf.all.rp_filter", "1"),
    ("net.ipv4.conf.all.send_redirects", "0"),
    ("net.ipv4.conf.default.accept_redirects", "0"),
    ("net.ipv4.conf.default.rp_filter", "1"),
    ("net.ipv4.conf.default.send_redirects", "0"),
    # Sides are joined by calls, never by routing.
    ("net.ipv4.ip_forward", "0"),
    ("net.ipv6.conf.all.accept_ra", "0"),
    ("net.ipv6.conf.all.accept_redirects", "0"),
    ("net.ipv6.conf.all.disable_ipv6", "0"),
    ("net.ipv6.conf.all.forwarding", "0"),
    ("net.ipv6.conf.default.accept_ra", "0"),
    ("net.ipv6.conf.default.accept_redirects", "0"),
    ("net.ipv6.conf.default.disable_ipv6", "0"),
)


def assemble(spec: SbcSpec, context: Context) -> tuple[Vnf, Vnf]:
    """The SBC and its probe. Raises `SpecError` for what does not fit the size, the addresses or the certificate."""
    if found := tuple(problems(spec, context)):
        raise SpecError(*found)
    return _sbc(spec, context), _probe(spec, context)


def problems(spec: SbcSpec, context: Context) -> Iterator[Problem]:
    """Everything that keeps `spec` from being put together in this context."""
    for name, per_core in (("most_calls", CALLS_PER_CORE), ("most_calls_per_second", CALLS_PER_SECOND_AND_CORE)):
        most = int(context.cpu * per_core)
        if getattr(spec, name) > most:
            yield Problem(name, f"this size carries {most}; order a larger one for more")
    for position, port in enumerate(spec.ports):
        if not hosts(context, port.name):
            yield Problem(f"ports[{position}].addresses", "the segment has no prefix to take an address from: give one")
    if spec.tls and spec.tls.certificate is None and context.certificate is None:
        yield Problem("tls.certificate", "the platform has issued none: give one")


def certificate_names(spec: SbcSpec, context: Context) -> tuple[str, ...]:
    """For which names the platform is to issue a certificate; none when the customer brings one or wants no TLS."""
    if spec.tls is None or spec.tls.certificate is not None:
        return ()
    addresses = (host for port in spec.ports for host in hosts(context, port.name))
    return tuple(dict.fromkeys([*([spec.realm] if spec.realm else []), *addresses]))


# --- the SBC --------------------------------------------------------------------------


def _sbc(spec: SbcSpec, context: Context) -> Vnf:
    engine = engine_of(spec, context)
    files = {
        name: tuple(ConfigFile(file, content) for file, content in of_container.items())
        for name, of_container in render.files(engine).items()
    }
    containers: tuple[Container, ...] = (
        _container(REDIS, context, render.REDIS, *files[REDIS]),
        _container(RTPENGINE, context, render.rtpengine_command(engine), *files[RTPENGINE]),
        _container(KAMAILIO, context, render.kamailio_command(engine), *files[KAMAILIO], *_secrets(spec, context)),
    )
    if spec.resolvers:
        containers += (_container(RESOLVER, context, render.RESOLVER, *files[RESOLVER]),)
    probes = (
        Exec("ready", KAMAILIO, render.READY, role=ProbeRole.READINESS),
        Exec("health", KAMAILIO, render.HEALTH, parser="conditions"),
    )
    return Vnf(VNF, containers, SYSCTLS, probes, Database("run", "redis.sock", engine.redis_password))


def engine_of(spec: SbcSpec, context: Context) -> render.Engine:
    """What the daemons' files are rendered from."""
    return render.Engine(
        sides=tuple(render.Side(port.name, hosts(context, port.name)) for port in spec.ports),
        realm=spec.realm or context.instance,
        redis_password=context.secret("redis"),
        tls=spec.tls is not None,
        mutual_tls=spec.tls is not None and spec.tls.clients == "required",
        workers=2 + 2 * math.ceil(context.cpu),
        media_threads=max(1, math.ceil(context.cpu * CPU[RTPENGINE])),
        most_calls=spec.most_calls,
        most_per_second=spec.most_calls_per_second,
        longest_call=spec.longest_call,
        longest_message=spec.longest_message,
        media_timeout=spec.media_timeout,
        resolvers=spec.resolvers,
        guard=_guard(spec),
        redis_memory=int(context.memory * MEMORY[REDIS] * REDIS_DATA),
    )


def _guard(spec: SbcSpec) -> render.Guard:
    return render.Guard(
        rate=spec.source_limit.messages_per_second,
        burst=spec.source_limit.burst,
        trusted_rate=max(LEAST_TRUSTED_RATE, MESSAGES_PER_CALL * spec.most_calls_per_second),
        ban=spec.ban.seconds,
        failures=spec.ban.failures,
        within=spec.ban.within,
    )


def _secrets(spec: SbcSpec, context: Context) -> Iterator[ConfigFile]:
    yield ConfigFile("hide.key", context.secret("hide"))
    if spec.tls:
        chain, key = own_certificate(spec, context)
        yield ConfigFile("tls.crt", chain)
        yield ConfigFile("tls.key", key)
        yield ConfigFile("peers.crt", spec.tls.authorities or _authority(context) or chain)


def own_certificate(spec: SbcSpec, context: Context) -> tuple[str, str]:
    """Chain and key that the SBC shows: the customer's, or those that the platform issued."""
    if spec.tls and spec.tls.certificate and spec.tls.key:
        return spec.tls.certificate, spec.tls.key.get_secret_value()
    assert context.certificate is not None, "problems() was asked"
    return context.certificate.chain, context.certificate.key


def _authority(context: Context) -> str:
    return context.certificate.authority if context.certificate else ""


def _container(name: str, context: Context, command: tuple[str, ...], *files: ConfigFile) -> Container:
    return Container(
        name=name,
        image=IMAGES[name],
        command=command,
        files=files,
        reload=RELOADS.get(name),
        tmpfs=TMPFS,
        volumes=(Volume("run", render.RUN), Volume("state", render.STATE)),
        cpu=context.cpu * CPU[name],
        memory=int(context.memory * MEMORY[name]),
    )


# --- the probe ------------------------------------------------------------------------


def _probe(spec: SbcSpec, context: Context) -> Vnf:
    """The telephone with an address on either side. Its first call is what the service waits for."""
    container = Container(
        name=PROBE,
        image=IMAGES[PROBE],
        files=probe.files(spec, context),
        reload=("true",),
        tmpfs=TMPFS,
        cpu=CPU[PROBE],
        memory=int(context.memory * MEMORY[PROBE]),
    )
    call = Exec(
        "test-call",
        PROBE,
        probe.command("--report", "condition"),
        parser="conditions",
        role=ProbeRole.READINESS,
        timeout=probe.TIMEOUT,
        every=float(spec.test_call.every),
    )
    return Vnf(PROBE, (container,), SYSCTLS, (call,) if probe.is_possible(spec, context) else ())
