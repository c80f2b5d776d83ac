"""What holds of an SBC: asked of its daemons and files each time, remembered nowhere.

`ready` says whether it can take calls; `health` says what is well and what is not, as conditions
(a JSON list of type, status, message).
"""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from . import certificates, engine, load, peers

#: The libraries of the functions that the engine calls in its store.
LIBRARIES = ("sbc", "peers")
#: Days before the end of a certificate when that becomes a condition.
NOTICE = 14


#: None when it holds, otherwise the reason in words. Raises OSError or `engine.Refused` for what cannot be asked.
Check = Callable[[], str | None]


def reason_against(check: Check) -> str | None:
    try:
        return check()
    except (OSError, engine.Refused) as error:
        return str(error) or type(error).__name__


def signalling_alive() -> None:
    engine.rpc("core.uptime")


def media_alive() -> None:
    engine.media_answers()


def state_alive() -> str | None:
    with engine.Store() as store:
        missing = [name for name in LIBRARIES if not store.ask("FUNCTION", "LIST", "LIBRARYNAME", name)]
    return f"the store lacks {', '.join(missing)}" if missing else None


def tables_loaded() -> str | None:
    with engine.Store() as store:
        if int(store.ask("GET", "revision") or 0) < 1:
            return "no tables have arrived yet"
    return None


def certificate_valid() -> str | None:
    left = certificates.not_after(f"{engine.FILES}/tls.crt") - time.time()
    days = int(left // 86_400)
    if left <= 0:
        return "the certificate has ended"
    return f"the certificate ends in {days} days" if days < NOTICE else None


def wanted() -> dict[str, Check]:
    """The checks that make sense for this SBC, by the name of their condition."""
    checks: dict[str, Check] = {
        "SignallingAlive": signalling_alive,
        "MediaAlive": media_alive,
        "StateAlive": state_alive,
        "TablesLoaded": tables_loaded,
        "TrunksAnswer": peers.all_answer,
        "TrunksRegistered": peers.all_registered,
    }
    if engine.settings()["resolvers"]:
        checks["NamesFound"] = peers.all_found
    return checks | {"CertificateValid": certificate_valid} if engine.settings()["tls"] else checks


def health() -> int:
    """Print the conditions, and what was measured with the first of them; always a success."""
    found: list[dict[str, Any]] = []
    for name, check in wanted().items():
        reason = reason_against(check)
        found.append({"type": name, "status": "false" if reason else "true", "message": reason or ""})
    with suppress(OSError, engine.Refused):
        found[0]["values"] = load.values()
    print(json.dumps(found))
    return 0


def ready() -> int:
    """0 when calls can be taken; otherwise the reasons are printed."""
    checks: tuple[Check, ...] = (signalling_alive, media_alive, state_alive, tables_loaded)
    reasons = [reason for reason in map(reason_against, checks) if reason]
    print("; ".join(reasons))
    return 1 if reasons else 0
