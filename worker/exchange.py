"""Between the core and the databases of VNFs: changes of tables go in, revisions and records come out.

Level-triggered like everything else: the core is told which revision is there and sends what is missing; a record is
sent until the core says that it has it, and stays in the VNF until then. A message that is lost, late or doubled does
no harm. What a record says is nobody's matter here.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import accumulate

from worker.broker import RECONCILE
from worker.errors import NaasError, PermanentError
from worker.host import Pop
from worker.outbox import Outbox
from worker.report import Record, Records, RecordsTaken, TableChange, TablesAt
from worker.tables.base import Tables, place
from worker.topology import Database, DesiredState

log = logging.getLogger(__name__)

#: Seconds for which a database that was just started is waited for, and between two tries.
STARTS_WITHIN, POLL = 10.0, 0.05
#: Seconds for which records are sent of a VNF that is about to be removed, and their receipt waited for.
LEAVES_WITHIN = 10.0
#: Records in one message, and characters of their bodies.
MOST_RECORDS, MOST_TEXT = 500, 2**20
#: Seconds until records are sent again that the core did not acknowledge: first, and at most.
AGAIN, AGAIN_AT_MOST = 30.0, 600.0
#: Seconds until a database is asked again that did not answer: first, and at most.
AWAY, AWAY_AT_MOST = 1.0, 10.0
#: Seconds until the broker is tried again that took nothing.
BROKER_AWAY = 2.0


class Exchange:
    """What messages of the core bring about, and what there is to say of VNFs that come and go."""

    def __init__(self, pop: Pop, outbox: Outbox) -> None:
        self._pop = pop
        self._outbox = outbox

    def apply(self, change: TableChange) -> None:
        """Apply the change and say which revision is there then. Raises `TemporaryError` when the database is away."""
        database = self._database(change.instance, change.vnf)
        if database is None:
            log.info("%s/%s has no database here", change.instance, change.vnf)
            return
        with (
            self._pop.store.lock(f"tables of {change.instance}/{change.vnf}"),
            closing(self._pop.tables(change.instance, change.vnf, database)) as tables,
        ):
            revision, reason = _applied(tables, change)
        self._outbox.tables_at(at(self._pop, change.instance, change.vnf, revision, reason))

    def forget(self, receipt: RecordsTaken) -> None:
        """Forget the records that the core has. Raises `TemporaryError` when the database is away."""
        database = self._database(receipt.instance, receipt.vnf)
        if database is not None:
            with closing(self._pop.tables(receipt.instance, receipt.vnf, database)) as tables:
                tables.forget(receipt.upto)

    def announce(self, desired: DesiredState, *, within: float, superseded: Callable[[], bool]) -> None:
        """Say which revision the tables of each VNF have, waiting at most `within` seconds for databases to answer.

        A new service has no tables, and is not ready without them: the core must know before anybody waits for that.
        """
        deadline = time.monotonic() + min(within, STARTS_WITHIN)
        waiting = dict(_databases(desired))
        while waiting:
            for vnf, database in tuple(waiting.items()):
                if self._tell(desired.instance, vnf, database):
                    del waiting[vnf]
            if not waiting or time.monotonic() + POLL > deadline or superseded():
                return
            time.sleep(POLL)

    def take_leave(self, desired: DesiredState) -> None:
        """Send the records of VNFs that stand and that `desired` does not have any more, for nobody keeps them then.

        The core's receipt is waited for, which another process follows; but not for ever: a core that is away must
        not keep a customer's service standing.
        """
        deadline = time.monotonic() + LEAVES_WITHIN
        try:
            for vnf, database in self._kept(desired.instance):
                if desired.vnf(vnf) is None:
                    self._send_all(desired.instance, vnf, database, deadline)
        except NaasError as error:
            log.warning("the last records of %s cannot be had: %s", desired.instance, error)

    # --- inside ---

    def _tell(self, instance: str, vnf: str, database: Database) -> bool:
        """Say which revision is there; says whether the database answered."""
        try:
            with closing(self._pop.tables(instance, vnf, database)) as tables:
                found = at(self._pop, instance, vnf, tables.revision())
        except NaasError:
            return False
        self._outbox.tables_at(found)
        return True

    def _send_all(self, instance: str, vnf: str, database: Database, deadline: float) -> None:
        with closing(self._pop.tables(instance, vnf, database)) as tables:
            after = ""
            while (batch := next_records(tables, after)) and time.monotonic() < deadline:
                self._outbox.records(Records(self._pop.slug, instance, vnf, batch))
                after = batch[-1].id
            while after and _is_kept(tables, after):
                if time.monotonic() > deadline:
                    log.warning("records of %s/%s were sent and not acknowledged", instance, vnf)
                    return
                time.sleep(POLL)

    def _database(self, instance: str, vnf: str) -> Database | None:
        return dict(self._kept(instance)).get(vnf)

    def _kept(self, instance: str) -> Iterator[tuple[str, Database]]:
        row = self._pop.store.row(instance)
        if row is not None:
            yield from _databases(self._pop.kept(row, RECONCILE))


def _databases(desired: DesiredState) -> Iterator[tuple[str, Database]]:
    """The VNFs that have one, by name."""
    for vnf in desired.vnfs:
        if vnf.database is not None:
            yield vnf.name, vnf.database


def _applied(tables: Tables, change: TableChange) -> tuple[int, str]:
    """The revision afterwards, and why the change was refused, '' when it was not."""
    try:
        return tables.apply(change), ""
    except PermanentError as error:
        log.warning("a change of tables of %s/%s was refused: %s", change.instance, change.vnf, error)
        return tables.revision(), str(error)


def _is_kept(tables: Tables, upto: str) -> bool:
    """Whether some record up to this one was not forgotten yet."""
    return any(place(record.id) <= place(upto) for record in tables.records("", 1))


def at(pop: Pop, instance: str, vnf: str, revision: int, reason: str = "") -> TablesAt:
    return TablesAt(pop.slug, instance, vnf, revision, time.time(), reason)


def next_records(tables: Tables, after: str = "") -> tuple[Record, ...]:
    """As many of the records after this one as go into a message, at least one if there is one."""
    found = tables.records(after, MOST_RECORDS)
    sizes = accumulate(len(record.body) for record in found)
    return found[: max(1, sum(size <= MOST_TEXT for size in sizes))]


# --- looking regularly ------------------------------------------------------------------


@dataclass
class Flow:
    """What is known of one database: the revision that was told, and the last record that was sent (`upto`).

    Times are in monotonic seconds.
    """

    instance: str
    vnf: str
    database: Database
    tables: Tables | None = None
    told: int | None = None
    upto: str = ""
    send_again: float = 0.0
    patience: float = AGAIN
    ask_again: float = 0.0
    away: float = AWAY

    def is_to_send(self, oldest: Record | None, now: float) -> bool:
        """Whether records are to be sent, when `oldest` is the first that is there.

        While the core has not acknowledged what was sent, nothing is; then the same again, ever more seldom.
        """
        if oldest is None or not self.upto or place(oldest.id) > place(self.upto):
            self.upto, self.patience = "", AGAIN
        return oldest is not None and (not self.upto or now >= self.send_again)

    def sent(self, upto: str, now: float) -> None:
        if self.upto:
            self.patience = min(2 * self.patience, AGAIN_AT_MOST)
        self.upto, self.send_again = upto, now + self.patience

    def close(self) -> None:
        if self.tables is not None:
            self.tables.close()
        self.tables = None


class Collector:
    """Looks at the databases of all VNFs here, again and again: tells revisions that are new, sends records.

    Used by one thread.
    """

    def __init__(self, pop: Pop, outbox: Outbox) -> None:
        self._pop = pop
        self._outbox = outbox
        self._generations: dict[str, int] = {}
        self._flows: dict[tuple[str, str], Flow] = {}
        self._broker_again = 0.0

    def look(self) -> None:
        """Look at every database once. One that does not answer is asked again later."""
        self._take_stock()
        for flow in self._flows.values():
            now = time.monotonic()
            if now >= max(flow.ask_again, self._broker_again):
                self._look_at(flow, now)

    def _take_stock(self) -> None:
        """Know the databases of what is in force."""
        generations = self._pop.store.generations()
        changed = {name for name, generation in generations.items() if self._generations.get(name) != generation}
        gone = self._generations.keys() - generations.keys()
        kept = {key: flow for key, flow in self._flows.items() if flow.instance not in changed | gone}
        for instance in changed:
            for vnf, database in self._databases(instance):
                flow = self._flows.get((instance, vnf))
                known = flow is not None and flow.database == database
                kept[instance, vnf] = flow if flow and known else Flow(instance, vnf, database)
        for key, flow in self._flows.items():
            if kept.get(key) is not flow:
                flow.close()
        self._generations, self._flows = generations, kept

    def _databases(self, instance: str) -> tuple[tuple[str, Database], ...]:
        row = self._pop.store.row(instance)
        try:
            return tuple(_databases(self._pop.kept(row, RECONCILE))) if row else ()
        except PermanentError:
            return ()  # the keeper parks it with the reason

    def _look_at(self, flow: Flow, now: float) -> None:
        try:
            flow.tables = flow.tables or self._pop.tables(flow.instance, flow.vnf, flow.database)
            self._tell(flow, flow.tables)
            if now >= self._broker_again:
                self._send(flow, flow.tables, now)
            flow.away = AWAY
        except NaasError as error:
            log.info("the database of %s/%s is asked again later: %s", flow.instance, flow.vnf, error)
            flow.close()
            flow.ask_again, flow.away = now + flow.away, min(2 * flow.away, AWAY_AT_MOST)

    def _tell(self, flow: Flow, tables: Tables) -> None:
        revision = tables.revision()
        if revision != flow.told and self._took(
            self._outbox.tables_at(at(self._pop, flow.instance, flow.vnf, revision))
        ):
            flow.told = revision

    def _send(self, flow: Flow, tables: Tables, now: float) -> None:
        oldest = next(iter(tables.records("", 1)), None)
        if flow.is_to_send(oldest, now):
            batch = next_records(tables)
            message = Records(self._pop.slug, flow.instance, flow.vnf, batch)
            if batch and self._took(self._outbox.records(message)):
                flow.sent(batch[-1].id, now)

    def _took(self, taken: bool) -> bool:
        """Whether the broker took it. When not, it is left alone for a while."""
        if not taken:
            self._broker_again = time.monotonic() + BROKER_AWAY
        return taken
