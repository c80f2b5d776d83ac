"""Samples: counters become rates, fine rows coarse ones, and only those of services that stand at the PoP are kept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from naas.core.errors import Invalid
from services import samples
from services.lifecycle import ServiceState
from services.models import Sample, ServiceInstance
from services.samples import Range
from services.tiers import (
    HOURS,
    MINUTES,
    QUARTERS,
    RAW,
    TIERS,
    Figure,
    merged,
    read_all,
    rolled,
    sources,
    start_of,
    step_for,
)
from tenants import scope
from tenants.actor import Actor, Role
from tenants.models import Tenant, User
from tenants.verbs import tokens
from tests import world
from worker.errors import PermanentError
from worker.samples import Reading, Samples, Total, rates

NOW = datetime.now(UTC).replace(microsecond=0)
#: A moment at which an hour begins, long enough ago that the hour is over.
HOUR = start_of(NOW, 3600) - timedelta(hours=2)


# --- arithmetic -------------------------------------------------------------------------


def test_a_rate_is_what_a_counter_grew_by_the_second() -> None:
    key = ("svc", "port.in.bits", "lan", "")
    assert rates({key: Total(100, "7")}, {key: Total(300, "7")}, 10) == {key: 20}


def test_nothing_is_known_of_a_counter_that_is_new_began_anew_or_runs_backwards() -> None:
    new, anew, back = (("svc", name, "", "") for name in ("new", "anew", "back"))
    before = {anew: Total(100, "7"), back: Total(100, "7")}
    now = {new: Total(5, "7"), anew: Total(500, "8"), back: Total(99, "7")}
    assert rates(before, now, 10) == {}
    assert rates(before, before, 0) == {}


def test_every_sample_counts_the_same_in_a_mean() -> None:
    assert merged([Figure(1, 2, 3, 3), Figure(10, 10, 10)]) == Figure(1, 4, 10, 4)
    assert read_all([[1, 2, 3, 3], 10]) == Figure(1, 4, 10, 4)
    assert read_all([10]) == Figure(10, 10, 10)


def test_rows_are_rolled_up_series_by_series() -> None:
    assert rolled([{"cpu": 1, "memory": 5}, {"cpu": 3}, {"cpu": [0, 2, 9, 2]}]) == {
        "cpu": [0, 2, 9, 4],
        "memory": [5, 5, 5, 1],
    }


def test_the_step_suits_the_range_and_what_is_kept_of_it() -> None:
    def step(length: timedelta, ago: timedelta = timedelta()) -> int:
        return step_for(NOW - ago - length, NOW - ago, NOW)

    assert step(timedelta(hours=1)) == 10
    assert step(timedelta(days=1)) == 300
    assert step(timedelta(days=396)) == 86400
    assert step(timedelta(hours=1), ago=timedelta(days=3)) == 60
    assert step(timedelta(hours=1), ago=timedelta(days=30)) == 3600


def test_a_series_is_made_of_the_coarsest_rows_that_do_and_goes_on_with_finer_ones() -> None:
    assert sources(10, NOW - timedelta(hours=1), NOW) == (RAW,)
    assert sources(300, NOW - timedelta(days=1), NOW) == (MINUTES, RAW)
    assert sources(3600, NOW - timedelta(days=7), NOW) == (HOURS, MINUTES, RAW)
    assert sources(10, NOW - timedelta(days=2), NOW) == (MINUTES, RAW)
    assert sources(86400, NOW - timedelta(days=396), NOW) == (QUARTERS, HOURS, MINUTES, RAW)


def test_samples_that_are_no_numbers_or_have_strange_names_are_refused() -> None:
    good = Samples("fra1", 1.0, (("svc", (Reading("port.in.bits", "probe:lan", 2.5),)),))
    assert Samples.from_json(good.to_json()) == good
    for reading in (["port.in.bits", "lan", None], ["Port in", "lan", 1.0], ["cpu", "a b", 1.0]):
        document = good.to_json()
        document["readings"] = [["svc", [dict(zip(("name", "label", "value"), reading, strict=True))]]]
        with pytest.raises(PermanentError):
            Samples.from_json(document)


# --- rows -------------------------------------------------------------------------------


@pytest.fixture
def acme(db: None) -> Tenant:
    tenant, segment = world.customer("acme", world.pop())
    world.service(tenant, segment, "edge")
    return tenant


@pytest.fixture
def edge(acme: Tenant) -> ServiceInstance:
    found: ServiceInstance = ServiceInstance.unscoped.get(name="edge")
    return found


def said(instance: str, at: datetime, *, pop: str = "fra1", **values: float) -> Samples:
    readings = tuple(Reading(name.replace("_", "."), "lan", value) for name, value in values.items())
    return Samples(pop, at.timestamp(), ((instance, readings),))


def kept(instance: ServiceInstance, width: int) -> dict[datetime, Any]:
    return dict(Sample.unscoped.filter(instance=instance, width=width).values_list("start", "values"))


def test_the_same_samples_twice_are_kept_once(edge: ServiceInstance) -> None:
    for value in (1.0, 1.0):
        samples.take(said(edge.pk, NOW, port_in_bits=value))
    assert kept(edge, 10) == {start_of(NOW, 10): {"port.in.bits/lan": 1.0}}


def test_samples_of_a_service_at_another_pop_are_refused(edge: ServiceInstance) -> None:
    world.pop("ber1")
    samples.take(said(edge.pk, NOW, pop="ber1", cpu=1))
    samples.take(said("svc-nobody", NOW, cpu=1))
    assert not Sample.unscoped.exists()


def test_samples_of_what_is_gone_and_of_wrong_clocks_are_refused(edge: ServiceInstance) -> None:
    samples.take(said(edge.pk, NOW - timedelta(hours=13), cpu=1))
    samples.take(said(edge.pk, NOW + timedelta(minutes=5), cpu=1))
    ServiceInstance.unscoped.update(state=ServiceState.TERMINATED)
    samples.take(said(edge.pk, NOW, cpu=1))
    assert not Sample.unscoped.exists()


def test_samples_belong_to_the_tenant_of_the_service(edge: ServiceInstance, acme: Tenant) -> None:
    other, segment = world.customer("globex", edge.pop)
    world.service(other, segment, "theirs")
    theirs = ServiceInstance.unscoped.get(name="theirs")
    for instance in (edge, theirs):
        samples.take(said(instance.pk, NOW, cpu=1))
    assert [row.instance_id for row in scope.of(acme).all(Sample)] == [edge.pk]
    assert samples.series(scope.of(acme), theirs, Range.asked(None, None, None)) == ()


def test_rows_are_rolled_up_to_minutes_and_hours_once_they_are_over(edge: ServiceInstance) -> None:
    for seconds, value in ((0, 1.0), (10, 3.0), (60, 8.0)):
        samples.take(said(edge.pk, HOUR + timedelta(seconds=seconds), cpu=value))
    samples.roll(NOW)
    assert kept(edge, 60) == {
        HOUR: {"cpu/lan": [1.0, 2.0, 3.0, 2]},
        HOUR + timedelta(minutes=1): {"cpu/lan": [8.0, 8.0, 8.0, 1]},
    }
    assert kept(edge, 3600) == {HOUR: {"cpu/lan": [1.0, 4.0, 8.0, 3]}}
    samples.roll(NOW + timedelta(hours=6))
    assert kept(edge, 21600) == {start_of(HOUR, 21600): {"cpu/lan": [1.0, 4.0, 8.0, 3]}}
    assert samples.roll(NOW + timedelta(hours=6)) == 0, "doing it twice does no harm"


def test_what_comes_late_is_rolled_up_with_what_was_there(edge: ServiceInstance) -> None:
    samples.take(said(edge.pk, HOUR, cpu=1))
    samples.roll(NOW)
    samples.take(said(edge.pk, HOUR + timedelta(seconds=20), cpu=5))
    samples.roll(NOW)
    assert kept(edge, 60) == {HOUR: {"cpu/lan": [1.0, 3.0, 5.0, 2]}}
    assert kept(edge, 3600) == {HOUR: {"cpu/lan": [1.0, 3.0, 5.0, 2]}}


def test_a_bucket_that_is_not_over_is_not_rolled_up(edge: ServiceInstance) -> None:
    minute = start_of(NOW, 60)
    samples.take(said(edge.pk, minute, cpu=1))
    assert samples.roll(minute + timedelta(seconds=59)) == 0
    assert samples.roll(minute + timedelta(seconds=60)) == 1


def test_each_tier_is_forgotten_when_its_time_is_over(edge: ServiceInstance) -> None:
    for tier in TIERS:
        for age in (tier.kept - timedelta(hours=2), tier.kept + timedelta(hours=2)):
            Sample.unscoped.create(
                tenant=edge.tenant, instance=edge, width=tier.width, start=NOW - age, values={}, rolled=True
            )
    assert samples.forget(NOW) == 4
    assert sorted(Sample.unscoped.values_list("width", flat=True)) == [10, 60, 3600, 21600]


def test_a_series_reads_each_moment_once(edge: ServiceInstance, acme: Tenant) -> None:
    for seconds in range(0, 180, 10):
        samples.take(said(edge.pk, HOUR + timedelta(seconds=seconds), cpu=seconds))
    samples.roll(HOUR + timedelta(seconds=120))
    wanted = Range(HOUR, HOUR + timedelta(minutes=5), 60)
    (found,) = samples.series(scope.of(acme), edge, wanted, NOW)
    assert (found.name, found.label) == ("cpu", "lan")
    assert [(figure.least, figure.most, figure.count) for _, figure in found.points] == [
        (0, 50, 6),
        (60, 110, 6),
        (120, 170, 6),
    ], "two minutes that were rolled up, and one that was not"


def test_a_range_that_makes_too_many_points_or_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(Invalid):
        Range.asked(NOW - timedelta(days=7), NOW, 10, now=NOW)
    with pytest.raises(Invalid):
        Range.asked(NOW, NOW - timedelta(hours=1), None, now=NOW)


# --- over HTTP --------------------------------------------------------------------------


def bearer(tenant: Tenant) -> dict[str, str]:
    issued = tokens.issue(actor=Actor.system(tenant), name="prometheus", role=Role.VIEWER)
    return {"Authorization": f"Bearer {issued.plaintext}"}


def test_the_api_gives_series_with_their_units(edge: ServiceInstance, acme: Tenant) -> None:
    samples.take(said(edge.pk, NOW, port_in_bits=1500, cpu=1))
    address = f"/api/v1/services/{edge.pk}/metrics"
    found = Client().get(f"{address}?name=port.in.bits", headers=bearer(acme)).json()
    at = start_of(NOW, 10).timestamp()
    assert found == {
        "step": 10,
        "series": [{"name": "port.in.bits", "label": "lan", "unit": "bit/s", "points": [[at, 1500.0, 1500.0, 1500.0]]}],
    }
    for wrong in (
        "?step=1",
        "?from=yesterday",
        "?to=2026-01-01T00:00:00",
        "?nmae=cpu",
        "?step=10&from=2026-01-01T00:00:00Z",
    ):
        assert Client().get(address + wrong, headers=bearer(acme)).status_code == 400, wrong


def test_prometheus_scrapes_what_is_present_of_ones_own_services(edge: ServiceInstance, acme: Tenant) -> None:
    other, segment = world.customer("globex", edge.pop)
    world.service(other, segment, "theirs")
    now = datetime.now(UTC)
    samples.take(said(edge.pk, now - timedelta(seconds=20), port_in_bits=1))
    samples.take(said(edge.pk, now, port_in_bits=1500))
    samples.take(said(ServiceInstance.unscoped.get(name="theirs").pk, now, port_in_bits=7))
    answer = Client().get("/api/v1/prometheus", headers=bearer(acme))
    text = answer.content.decode()
    assert answer["Content-Type"].startswith("text/plain")
    line = f'naas_service_port_in_bits{{kind="router",name="edge",part="lan",pop="fra1",service="{edge.pk}"}} 1500.0'
    assert line in text
    assert "theirs" not in text
    assert Client().get("/api/v1/prometheus").status_code == 401


def test_the_provider_scrapes_everything_with_a_token_of_its_own(
    edge: ServiceInstance, acme: Tenant, settings: Any
) -> None:
    samples.take(said(edge.pk, datetime.now(UTC), port_in_bits=1500))
    assert Client().get("/metrics").status_code == 404, "without a token there is no such page"
    settings.NAAS_PROMETHEUS_TOKEN = "long-and-secret"
    assert Client().get("/metrics", headers={"Authorization": "Bearer wrong"}).status_code == 404
    text = Client().get("/metrics", headers={"Authorization": "Bearer long-and-secret"}).content.decode()
    assert f'tenant="{acme.pk}"' in text
    assert "1500.0" in text


def test_the_page_shows_charts_and_the_same_as_a_table(edge: ServiceInstance, acme: Tenant) -> None:
    client = Client()
    client.force_login(User.objects.get(email="viewer@acme.example"))
    address = f"/t/acme/services/{edge.pk}/metrics/"
    assert "Nothing was measured" in client.get(address).content.decode()
    samples.take(said(edge.pk, NOW, port_in_bits=1_500_000, own_value=3))
    answer = client.get(address)
    assert [chart["title"] for chart in answer.context["charts"]] == ["Traffic", "own.value"]
    assert "1.50 Mbit/s" in answer.content.decode()
    for chosen in ("24h", "7d", "13m", "nonsense"):
        assert client.get(f"{address}?range={chosen}").status_code == 200
