"""What must run before anything else can be prepared: Docker and the platform's own Redis.

Each is started unless it runs already; what supervisor was given once it keeps.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from scripts import broker, engine, environment, supervision
from scripts.place import Place
from scripts.processes import Program, base_programs

REDIS_TIMEOUT = 30.0


def start(place: Place, settings: Mapping[str, str]) -> str:
    """Start both and wait until they answer. Says what was done about Docker."""
    done = start_engine(place, programs(place, settings))
    if not environment.is_foreign_broker(settings):
        ready = partial(broker.answers, settings["REDIS_URL"])
        engine.wait_until(ready, "Redis", REDIS_TIMEOUT, place.log / "redis.log")
    return done


def start_engine(place: Place, wanted: tuple[Program, ...]) -> str:
    """Bring supervisor to `wanted`, and Docker to answering by whatever way this machine has."""
    way = engine.decide(engine.look())
    if way is engine.Start.BY_SYSTEMD:
        engine.start_unit(place)
    supervision.start_supervisor(place, wanted)
    engine.wait_until(engine.answers, "Docker", engine.START_TIMEOUT, place.log / "dockerd.log")
    return f"Docker {engine.version()}: {way.value}"


def programs(place: Place, settings: Mapping[str, str]) -> tuple[Program, ...]:
    """What supervisor runs already, and what is missing."""
    found = engine.look()
    alone = engine.decide(found) is engine.Start.AS_PROCESS
    ours = supervision.states(place) if supervision.is_running(place) else {}
    own_redis = bool(settings) and not environment.is_foreign_broker(settings)
    return base_programs(
        redis_config=broker.write_files(place, settings["REDIS_URL"]) if own_redis else None,
        containerd="containerd:containerd" in ours or (alone and not found.containerd_answers),
        dockerd="dockerd:dockerd" in ours or alone,
    )
