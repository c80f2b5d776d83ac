"""The limit of calls is exact, however long a process sleeps between what it reads and what it writes.

The delay is seeded into the configuration that is shipped; and into one that checks and then sets,
as one might have written it, which must be found out.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.system.sbc.box import INSIDE, Box
from tests.system.sbc.calls import carried, tables
from tests.system.sbc.test_calls import successful

pytestmark = [pytest.mark.system, pytest.mark.alone]

LIMIT = 100
HOSTS = [f"{INSIDE}.{host}" for host in range(2, 10)]
#: More attempts than 300, from 8 sources.
ATTEMPTS = 38
COUNTED = "$var(of_trunk) = $shtinc(calls=>$avp(in));"
DELAY = 'usleep("2000");'
CHECKED_THEN_SET = f"""\
    $var(of_trunk) = $sht(calls=>$avp(in)) + 1;
    {DELAY}
    $sht(calls=>$avp(in)) = $var(of_trunk);"""


class Altered(Box):
    """An SBC in whose configuration the count of a trunk's calls reads otherwise."""

    def __init__(self, count: str) -> None:
        super().__init__()
        self.count = count

    def write_files(self) -> None:
        super().write_files()
        file = self.dir / "etc/kamailio.cfg"
        shipped = file.read_text()
        assert shipped.count(COUNTED) == 1
        file.write_text(shipped.replace(COUNTED, self.count))


@contextmanager
def running(box: Box) -> Iterator[Box]:
    try:
        box.start()
        box.load(tables(), carried(pbx={"most_calls": LIMIT}))
        yield box
    finally:
        box.close()


def storm(box: Box) -> tuple[int, int, int]:
    """Attempts from all sources at once: calls that stand then by count, that were answered, and counted in the end."""
    answering = box.sipp("carrier", "plain-answer", "-p", "5060", "-mp", "30000", "-m", "1000")
    options = ("-p", "5060", "-m", str(ATTEMPTS), "-r", "200", "-s", "+4940222", "-d", "4000", f"{INSIDE}.1:5060")
    callers = [box.sipp("pbx", "plain-call", *options, at=host) for host in HOSTS]
    time.sleep(3)
    standing = box.counter("pbx")
    for process in callers:
        process.wait(30)
    answering.kill()
    answering.wait()
    time.sleep(1)
    return standing, sum(successful(box, "plain-call", host) for host in HOSTS), box.counter("pbx")


def test_as_shipped_a_delay_between_count_and_comparison_lets_nobody_in() -> None:
    with running(Altered(f"{COUNTED}\n    {DELAY}")) as box:
        assert storm(box) == (LIMIT, LIMIT, 0)


def test_a_check_followed_by_a_set_is_found_out() -> None:
    with running(Altered(CHECKED_THEN_SET)) as box:
        assert storm(box) != (LIMIT, LIMIT, 0)
