"""What an SBC is made of, and what its size, its addresses and its certificate must fit."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from sbc.kind import KIND
from sbc.kind.spec import SbcSpec
from services.kind import Context, IssuedCertificate, Port, SpecError
from tests.sbcs import SBC, certificate, changed
from worker.topology import ConfigFile, Container, Exec, ProbeRole, Vnf

PORTS = {
    "inside": Port("inside", "seg-office", ("10.11.0.1/24", "fd11::1/64")),
    "outside": Port("outside", "seg-net", ("198.51.100.1/24",)),
    "probe:inside": Port("inside", "seg-office", ("10.11.0.9/24",)),
    "probe:outside": Port("outside", "seg-net", ("198.51.100.9/24",)),
}
HERE = Context(instance="svc-0123456789ab", name="sbc", cpu=1.0, memory=2**30, ports=PORTS, seed="ab" * 32)


def spec(document: dict[str, Any]) -> SbcSpec:
    return SbcSpec.model_validate_json(json.dumps(document))


def assembled(document: dict[str, Any] = SBC, context: Context = HERE) -> tuple[Vnf, ...]:
    return KIND.render(spec(document), context)


def container(name: str, document: dict[str, Any] = SBC, context: Context = HERE) -> Container:
    return next(c for vnf in assembled(document, context) for c in vnf.containers if c.name == name)


def file(name: str, document: dict[str, Any] = SBC, context: Context = HERE) -> ConfigFile:
    return next(f for vnf in assembled(document, context) for c in vnf.containers for f in c.files if f.name == name)


def problems(document: dict[str, Any], context: Context = HERE) -> list[str]:
    with pytest.raises(SpecError) as caught:
        assembled(document, context)
    return [problem.path for problem in caught.value.problems]


def test_an_sbc_is_three_containers_and_a_probe() -> None:
    sbc, probe = assembled()
    assert [container.name for container in sbc.containers] == ["redis", "rtpengine", "kamailio"]
    assert [container.name for container in probe.containers] == ["probe"]


def test_no_container_may_do_more_than_any_process() -> None:
    for vnf in assembled():
        for container in vnf.containers:
            assert (container.capabilities, container.devices, container.read_only) == ((), (), True)


def test_the_containers_share_sockets_and_state_and_the_probe_shares_nothing() -> None:
    sbc, probe = assembled()
    assert {container.volumes for container in sbc.containers} == {sbc.containers[0].volumes}
    assert sbc.database is not None
    assert sbc.database.volume in {volume.name for volume in sbc.containers[0].volumes}
    assert (probe.database, probe.containers[0].volumes) == (None, ())


def test_the_last_thing_waited_for_is_a_call() -> None:
    gates = [probe for vnf in assembled() for probe in vnf.probes if probe.role is ProbeRole.READINESS]
    last = gates[-1]
    assert isinstance(last, Exec)
    assert (last.name, last.every) == ("test-call", 600)
    assert {"10.11.0.9", "198.51.100.9"} <= set(file("test-call").content.split())


def test_passwords_and_keys_are_those_of_the_instance_and_nobody_elses() -> None:
    other = dataclasses.replace(HERE, seed="cd" * 32)
    assert file("hide.key") == file("hide.key")
    assert file("hide.key").content != file("hide.key", context=other).content
    assert assembled()[0].database != assembled(context=other)[0].database


def test_a_secret_is_in_no_repr() -> None:
    shown = repr(assembled())
    for secret in (file("hide.key").content, HERE.secret("redis")):
        assert secret not in shown


@pytest.mark.parametrize(
    "change",
    [
        {"most_calls": 400},
        {"most_calls_per_second": 30},
        {"longest_call": 600},
        {"ban": {"seconds": 60}, "source_limit": {"messages_per_second": 10}},
        {"longest_message": 4096},
        {"realm": "other.example"},
        {"test_call": {"every": 900}},
    ],
)
def test_a_change_of_limits_takes_no_new_container(change: dict[str, Any]) -> None:
    before, after = assembled(), assembled(SBC | change)
    assert [vnf.identity for vnf in before] == [vnf.identity for vnf in after]
    for old, new in zip(before[0].containers, after[0].containers, strict=True):
        assert old.identity == new.identity


def test_another_certificate_takes_no_new_container() -> None:
    chains = [certificate(), certificate()]
    documents = [SBC | {"tls": {"certificate": chain, "key": key}} for chain, key in chains]
    one, other = (container("kamailio", document) for document in documents)
    assert one.identity == other.identity
    assert one.config != other.config


def test_the_customers_certificate_is_the_one_shown() -> None:
    chain, key = certificate()
    document = SBC | {"tls": {"certificate": chain, "key": key}}
    assert (file("tls.crt", document).content, file("tls.key", document).content) == (chain, key)
    assert KIND.certificate(spec(document), HERE) == ()


def test_without_one_the_platform_is_asked_for_it() -> None:
    document = SBC | {"tls": {}, "realm": "sbc.example.net"}
    names = ("sbc.example.net", "10.11.0.1", "fd11::1", "198.51.100.1")
    assert KIND.certificate(spec(document), HERE) == names
    assert KIND.certificate(spec(SBC), HERE) == ()
    issued = dataclasses.replace(HERE, certificate=IssuedCertificate("chain", "key", "authority"))
    shown = {name: file(name, document, issued).content for name in ("tls.crt", "tls.key", "peers.crt")}
    assert shown == {"tls.crt": "chain", "tls.key": "key", "peers.crt": "authority"}
    assert problems(document) == ["tls.certificate"]


@pytest.mark.parametrize(("field", "most"), [("most_calls", 500), ("most_calls_per_second", 100)])
def test_the_size_bounds_what_can_be_had(field: str, most: int) -> None:
    assert assembled(SBC | {field: most})
    assert problems(SBC | {field: most + 1}) == [field]
    assert assembled(SBC | {field: most + 1}, dataclasses.replace(HERE, cpu=2.0))


def test_a_side_without_an_address_is_refused() -> None:
    bare = dataclasses.replace(HERE, ports=PORTS | {"outside": Port("outside", "seg-net", ())})
    assert problems(SBC, bare) == ["ports[1].addresses"]


def test_only_the_sides_of_the_test_call_have_a_probe() -> None:
    ports = [*SBC["ports"], {"name": "third", "segment": "x", "addresses": ["192.0.2.1/24"]}]
    requests = KIND.ports(spec(SBC | {"ports": ports}))
    assert [request.key for request in requests] == ["inside", "outside", "third", "probe:inside", "probe:outside"]
    one_way = changed(SBC, "test_call", "to_side", "inside")
    assert [request.key for request in KIND.ports(spec(one_way))] == ["inside", "outside", "probe:inside"]


def test_the_kind_renders_its_example() -> None:
    assert KIND.render(spec(dict(KIND.example)), KIND.example_context)


def test_the_form_names_every_field_of_the_spec_once() -> None:
    named = [field for group in KIND.form for field in group.fields]
    assert sorted(named) == sorted(SbcSpec.model_fields)
