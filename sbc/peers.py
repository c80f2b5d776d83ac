"""What an SBC knows of its trunks from asking them: which of their addresses answer, and where it is registered. Pure.

The engine decides the same in the functions of its Redis (`kind/image/redis/lib/peers.lua`); both are tested against
each other. Nothing here sends or looks at a clock. Times are milliseconds of Unix time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

#: No answer came at all.
SILENCE = 0
#: Answers by which a peer says that it cannot take calls now. Any other, a refusal too, is a sign of life.
UNFIT = frozenset({SILENCE, 408, 503})


class Health(StrEnum):
    """Whether an address answers. What has not been found out is called like one that does."""

    UNKNOWN = "unknown"
    UP = "up"
    DOWN = "down"


@dataclass(frozen=True)
class Answers:
    """What is known of an address: its health and `since` when, how many questions failed in a row, and the last answer
    (`code`, SILENCE when none came to the last question) and when one came last."""

    health: Health = Health.UNKNOWN
    failures: int = 0
    since: int = 0
    code: int = SILENCE
    answered: int = 0


def after(known: Answers, code: int, most_failures: int, now: int) -> Answers:
    """What is known after one more question, which was answered with `code`.

    An address is down once `most_failures` questions in a row have failed, and up again with the first success.
    """
    failures = known.failures + 1 if code in UNFIT else 0
    health = known.health
    if not failures:
        health = Health.UP
    elif failures >= most_failures:
        health = Health.DOWN
    found = replace(known, health=health, failures=failures, code=code)
    if health is not known.health:
        found = replace(found, since=now)
    return replace(found, answered=now) if code != SILENCE else found


# --- registration -----------------------------------------------------------------------

#: Seconds before a registration in vain is tried again: twice as many after each round of the addresses, up to LONGEST.
FIRST_PAUSE, LONGEST_PAUSE = 10, 600
#: A registration is refreshed when this part of its time is over.
REFRESH = 0.8
#: Seconds that one lasts at least, whatever the registrar says: nobody shall be asked all the time.
SHORTEST = 10
INTERVAL_TOO_BRIEF = 423


@dataclass(frozen=True)
class Reply:
    """What a registrar answered: `code` (SILENCE for nothing), for how many seconds it keeps the contact, and how many
    it wants at least (RFC 3261, 10.2.8); zero where it does not say."""

    code: int = SILENCE
    expires: int = 0
    least: int = 0


@dataclass(frozen=True)
class Registration:
    """How a registration stands: it holds `until`, and has without a gap `since`; `expires` seconds are asked for.
    `tries` were made since the last success. `code` and `answered` are of the last answer, `due` is the next try."""

    expires: int
    until: int = 0
    since: int = 0
    code: int = SILENCE
    answered: int = 0
    tries: int = 0
    due: int = 0


def pause(tries: int, addresses: int) -> int:
    """Seconds to the next try after so many in vain, when they go to so many addresses in turn."""
    rounds = (max(tries, 1) - 1) // addresses
    return int(min(FIRST_PAUSE * 2**rounds, LONGEST_PAUSE))


def asked(known: Registration, addresses: int, now: int) -> Registration:
    """The registration when it has been asked for, and nothing has been answered yet."""
    tries = known.tries + 1
    return replace(known, tries=tries, due=now + 1000 * pause(tries, addresses))


def answered(known: Registration, reply: Reply, now: int) -> Registration:
    """The registration after an answer. A refusal changes nothing but the code: the next try has its time already."""
    found = replace(known, code=reply.code)
    if reply.code != SILENCE:
        found = replace(found, answered=now)
    if 200 <= reply.code < 300:
        seconds = max(reply.expires or known.expires, SHORTEST)
        since = known.since if known.until > now else now
        due = now + int(1000 * seconds * REFRESH)
        return replace(found, until=now + 1000 * seconds, since=since, tries=0, due=due)
    if reply.code == INTERVAL_TOO_BRIEF and reply.least > known.expires:
        return replace(found, expires=reply.least, due=now)
    return found
