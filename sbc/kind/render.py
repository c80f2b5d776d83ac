"""The configuration files of an SBC's three daemons, rendered from values. Pure.

What changes by the minute (trunks, routes) is in tables, see `entries`; what is here changes
with the ports and the size of the SBC.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from sbc.kind import entries

#: Where the containers of one SBC meet: sockets, and what must outlive them.
RUN = "/run/naas"
STATE = "/var/lib/naas"
FILES = "/etc/naas"

#: For TLS 1.2: forward secrecy and authenticated encryption only. Those of TLS 1.3 are all of that kind.
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"

#: Every start has a number of its own. rtpengine tells a question by server, process and counter, and what it has heard
#: before it answers as it did then, with another call's media: processes and counters are the same after each start.
_START = 'exec kamailio -A STARTED=$(od -An -N3 -tu4 /dev/urandom | tr -d " ") "$@"'
#: The default allocator of Kamailio is a debugging one and doubles the CPU.
_KAMAILIO = (
    *("sh", "-c", _START, "kamailio", "-DD", "-E", "-x", "tlsf", "-X", "tlsf", "-m", "256", "-M", "8"),
    *("-Y", RUN, "-w", "/tmp", "-f", f"{FILES}/kamailio.cfg"),  # noqa: S108 - the container's own tmpfs
)
REDIS = ("/usr/lib/naas/entry", f"{FILES}/redis.conf")

#: What gives scanners away that do not hide: how their programs call themselves. Programs that honest telephones are
#: made with are not among them, nor is anything looked for within a name: Siwar is somebody's (and `iWar` a scanner).
SCANNERS = (
    *("friendly-scanner", "friendly-request", "sipvicious", "sip-scan", "sundayddr", "siparmyknife", "sipcli"),
    *("iWar", "sivus", "smap", "pplsip"),
)
#: From whom the best known of them says that it calls.
SCANNERS_FROM = "^ *.?sipvicious.? *<|sip:100@1[.]1[.]1[.]1"
#: The From tag by which SIPVicious knows what an answer is about: that in hexadecimal, a byte 1 and a random number in
#: ASCII digits; or one that it always uses. A telephone whose tags are hexadecimal makes such a one once in 10^10.
#: Before it stands hide's mark.
SCANNERS_TAG = "^~(([0-9a-f][0-9a-f])+01(3[0-9]){5,10}|3206210844)$"

#: Programs of Kamailio's image. RELOAD is run after its files changed.
PROGRAMS = "/usr/lib/naas"
RELOAD = (f"{PROGRAMS}/reload",)
READY = (f"{PROGRAMS}/ready",)
HEALTH = (f"{PROGRAMS}/health",)
RESOLVER = (f"{PROGRAMS}/resolve",)

#: The trunk from which the platform makes its test calls (see `probe`).
TEST_CALLER = "probe:caller"
#: Questions to trunks in a tenth of a second. Where more are due they are asked later than they should be.
MOST_QUESTIONS = 50
#: Seconds that a start may take until the relay has its calls again, and until their silence is noticed.
RESTORED_WITHIN = 10
#: rtpengine's flags for an answer: transport, family and encryption are those of the offer. Whose address is believed
#: is said besides.
ANSWER_FLAGS = "replace-origin replace-session-connection replace-zero-address ICE=remove strict-source"

_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    undefined=StrictUndefined,
    autoescape=False,  # noqa: S701 - daemon configuration, not HTML; every value is typed
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


@dataclass(frozen=True)
class Side:
    """A port of the SBC as its daemons see it: a media interface `name` and addresses without prefix length."""

    name: str
    addresses: tuple[str, ...]


@dataclass(frozen=True)
class Guard:
    """What a source may do, in messages a second; the addresses of trunks have a limit of their own.

    `failures` within `within` seconds mean a ban of `ban` seconds; with 0 seconds nobody is banned. What counts as a
    failure, and what for whom, is told in `image/kamailio/guard`.
    """

    rate: int = 50
    burst: int = 100
    trusted_rate: int = 20_000
    ban: int = 3600
    failures: int = 5
    within: int = 60


@dataclass(frozen=True)
class Engine:
    """What one SBC is made of. Times in seconds, sizes in bytes; `redis_password` guards the loopback socket.

    Every `keep_alive` seconds something is sent to whom NAT would otherwise forget.
    """

    sides: tuple[Side, ...]
    realm: str
    redis_password: str
    tls: bool = False
    mutual_tls: bool = False
    workers: int = 4
    media_threads: int = 2
    most_calls: int = 1000
    most_per_second: int = 1000
    longest_call: int = 43_200
    longest_message: int = 12_288
    media_timeout: int = 60
    silent_timeout: int = 3_600
    keep_alive: int = 20
    media_ports: tuple[int, int] = (20_000, 39_999)
    redis_memory: int = 256 * 2**20
    guard: Guard = Guard()
    resolvers: tuple[str, ...] = ()


def kamailio(engine: Engine) -> str:
    return _render(
        "kamailio.cfg.j2",
        listens=[
            f'{listen} name "{side.name}"'
            for side in engine.sides
            for address in side.addresses
            for listen in _listens(address, engine.tls)
        ],
        tls=engine.tls,
        workers=engine.workers,
        files=FILES,
        run=RUN,
        redis_password=engine.redis_password,
        dialog_mode=2,
        test_caller=TEST_CALLER,
        scanners=f"^({'|'.join(SCANNERS)})([^A-Za-z]|$)",
        scanners_from=SCANNERS_FROM,
        scanners_tag=SCANNERS_TAG,
        answer_flags=ANSWER_FLAGS,
        attempt_fields=entries.ATTEMPT_FIELDS,
        call_fields=entries.CALL_FIELDS,
        route_fields=entries.ROUTE_FIELDS,
        question_fields=entries.QUESTION_FIELDS,
        most_questions=MOST_QUESTIONS,
        kept_fields=entries.KEPT_FIELDS,
        keep_alive=engine.keep_alive,
        restored_within=RESTORED_WITHIN,
    )


def kamailio_command(engine: Engine) -> tuple[str, ...]:
    """What Kamailio's container runs. It names the configuration's digest, for a change there takes a new start;
    everything else (`settings`, TLS) is applied by RELOAD."""
    digest = hashlib.blake2b(kamailio(engine).encode(), digest_size=8).hexdigest()
    return (*_KAMAILIO, "-A", f"CONFIGURATION={digest}")


def settings(engine: Engine) -> str:
    """What the image's programs must know, and what they apply to the running daemons: settings.json."""
    document = {
        "redis_password": engine.redis_password,
        "tls": engine.tls,
        "tls_addresses": [address for side in engine.sides for address in side.addresses] if engine.tls else [],
        "resolvers": list(engine.resolvers),
        "limits": _limits(engine),
        "guard": asdict(engine.guard),
        "media": {"timeout": engine.media_timeout, "silenttimeout": engine.silent_timeout},
    }
    return json.dumps(document, indent=1)


def _limits(engine: Engine) -> Mapping[str, int | str]:
    """What the routing script reads as `$shv(name)`: it changes while calls stand."""
    return {
        "realm": engine.realm,
        "most_calls": engine.most_calls,
        "most_per_second": engine.most_per_second,
        "longest_call": engine.longest_call,
        "longest_message": engine.longest_message,
        "media_timeout": engine.media_timeout,
    }


def limits(engine: Engine) -> str:
    """What Kamailio starts with of that which RELOAD applies later: limits.cfg."""
    return _render("limits.cfg.j2", limits=_limits(engine), guard=asdict(engine.guard))


def tls(engine: Engine) -> str:
    return _render("tls.cfg.j2", files=FILES, ciphers=CIPHERS, mutual=engine.mutual_tls)


def rtpengine_command(engine: Engine) -> tuple[str, ...]:
    """What rtpengine's container runs. What takes a new start is here; its timeouts, in the file, are also applied by
    Kamailio's RELOAD."""
    interfaces = [f"--interface={side.name}/{address}" for side in engine.sides for address in side.addresses]
    return ("rtpengine", "--foreground", f"--config-file={FILES}/rtpengine.conf", *interfaces)


def rtpengine(engine: Engine) -> str:
    low, high = engine.media_ports
    return _render(
        "rtpengine.conf.j2",
        port_min=low,
        port_max=high,
        media_timeout=engine.media_timeout,
        silent_timeout=engine.silent_timeout,
        threads=engine.media_threads,
        redis_password=engine.redis_password,
    )


def redis(engine: Engine) -> str:
    return _render(
        "redis.conf.j2", run=RUN, state=STATE, redis_password=engine.redis_password, memory=engine.redis_memory
    )


def files(engine: Engine) -> Mapping[str, Mapping[str, str]]:
    """By container, what it finds in FILES but for keys and certificates (hide.key, tls.crt, tls.key, peers.crt)."""
    of_kamailio = {
        "kamailio.cfg": kamailio(engine),
        "limits.cfg": limits(engine),
        "settings.json": settings(engine),
    }
    resolver = {"resolver": {"settings.json": settings(engine)}} if engine.resolvers else {}
    return resolver | {
        "redis": {"redis.conf": redis(engine)},
        "rtpengine": {"rtpengine.conf": rtpengine(engine)},
        "kamailio": of_kamailio | ({"tls.cfg": tls(engine)} if engine.tls else {}),
    }


def _listens(address: str, tls: bool) -> list[str]:
    host = f"[{address}]" if ipaddress.ip_address(address).version == 6 else address
    plain = [f"udp:{host}:5060", f"tcp:{host}:5060"]
    return [*plain, f"tls:{host}:5061"] if tls else plain


def _render(template: str, **values: Any) -> str:
    return _TEMPLATES.get_template(template).render(**values)
