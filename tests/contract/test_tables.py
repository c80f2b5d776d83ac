"""What every database of a VNF promises, held against the double and a Redis with the image's library; then what only
that shows: what a container does to its socket, what may not be changed, how long others wait."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import redis

from tests.contract.beds import RedisTablesBed, redis_bed
from worker.errors import PermanentError, TemporaryError
from worker.report import TableChange
from worker.tables.redis import PART, RedisTables
from worker.topology import Database

ROUTES = (("HSET", "sbc:routes", "a/+49", "[1]", "a/+1", "[2]"), ("SADD", "sbc:emergency", "110", "112"))
FULL = {"sbc:routes": {"a/+49": "[1]", "a/+1": "[2]"}, "sbc:emergency": {"110", "112"}}


def change(base: int | None, revision: int, *commands: tuple[str, ...]) -> TableChange:
    return TableChange("svc-1", "sbc", base, revision, commands)


@pytest.fixture
def tables(tables_bed):
    return tables_bed.tables


@pytest.fixture
def filled(tables_bed):
    """A database with tables at revision 7."""
    assert tables_bed.tables.apply(change(None, 7, *ROUTES)) == 7
    return tables_bed


class TestTables:
    def test_an_empty_database_is_at_revision_0(self, tables):
        assert tables.revision() == 0

    def test_a_snapshot_makes_the_tables_and_their_revision(self, filled):
        assert filled.contents() == FULL
        assert filled.tables.revision() == 7

    def test_a_snapshot_leaves_nothing_of_what_was_there(self, filled):
        assert filled.tables.apply(change(None, 8, ("HSET", "sbc:trunks", "t", "{}"))) == 8
        assert filled.contents() == {"sbc:trunks": {"t": "{}"}}
        assert filled.tables.apply(change(None, 9)) == 9
        assert filled.contents() == {}

    def test_a_change_that_fits_is_carried_out_in_order(self, filled):
        commands = (
            ("HSET", "sbc:routes", "b/+49", "[3]"),
            ("HDEL", "sbc:routes", "a/+1", "not there"),
            ("SREM", "sbc:emergency", "110"),
            ("SADD", "sbc:emergency", "999"),
            ("DEL", "sbc:routes", "sbc:never"),
            ("HSET", "sbc:routes", "c/+49", "[4]"),
        )
        assert filled.tables.apply(change(7, 8, *commands)) == 8
        assert filled.contents() == {"sbc:routes": {"c/+49": "[4]"}, "sbc:emergency": {"112", "999"}}

    @pytest.mark.parametrize("base", [0, 6, 8])
    def test_a_change_that_does_not_fit_changes_nothing_and_says_what_is_there(self, filled, base):
        assert filled.tables.apply(change(base, 9, ("DEL", "sbc:routes"))) == 7
        assert filled.contents() == FULL

    def test_a_change_that_comes_twice_is_carried_out_once(self, filled):
        for _ in range(2):
            assert filled.tables.apply(change(7, 8, ("HDEL", "sbc:routes", "a/+1"))) == 8

    def test_a_core_that_was_set_back_has_the_last_word_by_a_snapshot(self, filled):
        assert filled.tables.apply(change(None, 3, *ROUTES[:1])) == 3
        assert filled.tables.revision() == 3

    @pytest.mark.parametrize("base", [None, 7])
    @pytest.mark.parametrize(
        "wrong",
        [
            ("SET", "sbc:routes", "x"),
            ("HSET", "live:down", "a", "b"),
            ("DEL", "sbc:routes", "revision"),
            ("HSET", "sbc:routes", "field"),
            ("SADD", "sbc:emergency"),
            ("DEL",),
            (),
            ("SADD", "sbc:same", "x"),
        ],
        ids=str,
    )
    def test_one_wrong_command_and_nothing_is_changed(self, filled, base, wrong):
        good = (("HSET", "sbc:same", "a", "b"), ("SADD", "sbc:emergency", "999"))
        with pytest.raises(PermanentError, match="command 3"):
            filled.tables.apply(change(base, 8, *good, wrong))
        assert filled.tables.revision() == 7
        assert filled.contents() == FULL

    def test_any_text_is_kept_as_it_is(self, tables_bed):
        texts = ("", " ", "a\tb\r\n", "\x00", "größe", "😀", '{"a": "\\n"}')
        commands = tuple(("HSET", "sbc:t", text, text) for text in texts)
        tables_bed.tables.apply(change(None, 1, *commands))
        assert tables_bed.contents() == {"sbc:t": {text: text for text in texts}}

    def test_a_database_that_lost_everything_says_so(self, filled):
        filled.lose()
        assert filled.tables.revision() == 0
        assert filled.tables.apply(change(7, 8, *ROUTES)) == 0

    def test_a_database_that_is_away_is_waited_for(self, filled):
        filled.stop()
        for ask in (
            filled.tables.revision,
            lambda: filled.tables.apply(change(7, 8, *ROUTES)),
            lambda: filled.tables.records("", 10),
            lambda: filled.tables.forget("1-1"),
        ):
            with pytest.raises(TemporaryError):
                ask()


class TestRecords:
    def test_records_come_oldest_first_and_a_part_at_a_time(self, tables_bed):
        ids = [tables_bed.note(f"call-{number}", f'{{"n": {number}}}') for number in range(5)]
        first = tables_bed.tables.records("", 3)
        assert [(record.id, record.key, record.body) for record in first] == [
            (id, f"call-{number}", f'{{"n": {number}}}') for number, id in enumerate(ids[:3])
        ]
        assert [record.id for record in tables_bed.tables.records(first[-1].id, 3)] == ids[3:]
        assert tables_bed.tables.records(ids[-1], 3) == ()

    def test_what_was_taken_is_forgotten_and_nothing_later(self, tables_bed):
        ids = [tables_bed.note(f"call-{number}", "{}") for number in range(5)]
        for _ in range(2):
            tables_bed.tables.forget(ids[2])
            assert [record.id for record in tables_bed.tables.records("", 10)] == ids[3:]

    def test_without_records_there_is_nothing_to_give_or_forget(self, tables):
        assert tables.records("", 10) == ()
        tables.forget("5-0")

    def test_a_snapshot_spares_the_records(self, filled):
        id = filled.note("call-1", "{}")
        filled.tables.apply(change(None, 8))
        assert [record.id for record in filled.tables.records("", 10)] == [id]


@pytest.fixture
def redis_tables(tmp_path: Path) -> Iterator[RedisTablesBed]:
    with redis_bed(tmp_path) as bed:
        yield bed


class TestRedis:
    def test_what_belongs_to_the_vnf_is_not_touched(self, redis_tables):
        redis_tables.client.sadd("live:down", "sip:a")
        redis_tables.tables.apply(change(None, 1, *ROUTES))
        redis_tables.tables.apply(change(None, 2))
        assert sorted(redis_tables.client.keys()) == ["live:down", "revision"]

    @pytest.mark.alone
    def test_100_000_entries_go_in_while_nobody_else_waits(self, redis_tables):
        value = json.dumps({"targets": [{"trunk": "trk-1", "priority": 1, "weight": 1}], "note": "x" * 200})
        entries = tuple(("HSET", "sbc:routes", f"trk-1/+{number}", value) for number in range(100_000))
        with waiting(redis_tables) as waits:
            begun = time.monotonic()
            assert redis_tables.tables.apply(change(None, 1, *entries)) == 1
            took = time.monotonic() - begun
        assert redis_tables.client.hlen("sbc:routes") == 100_000
        assert took < 10
        assert max(waits) < 0.5

    def test_of_a_snapshot_that_was_cut_short_nothing_is_seen_and_nothing_stays(
        self, redis_tables: RedisTablesBed
    ) -> None:
        redis_tables.tables.apply(change(None, 1, *ROUTES))
        many = tuple(("HSET", "sbc:routes", str(number), "[]") for number in range(PART + 1))
        with pytest.raises(PermanentError):
            redis_tables.tables.apply(change(None, 2, *many, ("KEYS", "*")))
        assert redis_tables.client.hgetall("sbc:routes") == FULL["sbc:routes"]
        redis_tables.tables.apply(change(None, 3, ("SADD", "sbc:emergency", "110")))
        assert redis_tables.contents() == {"sbc:emergency": {"110"}}

    def test_one_command_may_have_many_arguments(self, redis_tables):
        members = tuple(map(str, range(20_000)))
        redis_tables.tables.apply(change(None, 1, ("SADD", "sbc:numbers", *members), ("HSET", "sbc:h", *members)))
        assert redis_tables.client.scard("sbc:numbers") == 20_000
        assert redis_tables.client.hlen("sbc:h") == 10_000
        redis_tables.tables.apply(change(1, 2, ("SREM", "sbc:numbers", *members), ("HDEL", "sbc:h", *members)))
        assert redis_tables.contents() == {}

    def test_a_record_without_a_key_of_its_own_is_known_by_its_place(self, redis_tables):
        id = redis_tables.client.xadd("records", {"something": "else"})
        (record,) = redis_tables.tables.records("", 10)
        assert (record.key, record.body) == (id, "")

    def test_a_database_that_was_restarted_is_reached_again_with_all_that_it_had(
        self, redis_tables: RedisTablesBed
    ) -> None:
        redis_tables.tables.apply(change(None, 7, *ROUTES))
        redis_tables.client.shutdown()
        redis_tables.process.wait()
        with pytest.raises(TemporaryError):
            redis_tables.tables.revision()
        redis_tables.start()
        assert redis_tables.tables.revision() == 7

    def test_a_wrong_password_is_waited_for(self, redis_tables):
        wrong = Database("run", "redis.sock", "wrong")
        with closing(RedisTables(redis_tables.folder, wrong)) as tables, pytest.raises(TemporaryError):
            tables.revision()

    def test_a_socket_that_leads_elsewhere_is_not_followed(self, redis_tables, tmp_path):
        volume = tmp_path / "volume"
        volume.mkdir()
        (volume / "redis.sock").symlink_to(redis_tables.folder / "redis.sock")
        with closing(RedisTables(volume, RedisTablesBed.DATABASE)) as tables, pytest.raises(TemporaryError):
            tables.revision()


@contextmanager
def waiting(bed: RedisTablesBed) -> Iterator[list[float]]:
    """How long others of the database wait for an answer meanwhile, as a list of seconds. Complete at the end."""
    over, waits = threading.Event(), list[float]()

    def ask() -> None:
        client = redis.Redis(unix_socket_path=str(bed.folder / "redis.sock"), password=bed.DATABASE.password)
        while not over.wait(0.002):
            begun = time.monotonic()
            client.ping()
            waits.append(time.monotonic() - begun)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield waits
    finally:
        over.set()
        thread.join()
