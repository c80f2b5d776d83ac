"""Where a call goes: the policy as it is written down, and the engine's, which must agree with it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sbc.kind.entries import ATTEMPT_FIELDS, Calls, Check, all_entries
from sbc.policy import (
    ANY_SIDE,
    MOST_ATTEMPTS,
    Action,
    Address,
    Attempt,
    Call,
    CallerId,
    Decision,
    Format,
    HeaderAction,
    HeaderRule,
    Identity,
    NumberPlan,
    NumberRule,
    Privacy,
    Route,
    SourceRule,
    Stage,
    Standing,
    Step,
    Tables,
    Target,
    Trunk,
    Window,
    decide,
    in_turn,
    standing,
)

CALLS = Calls("udp:192.0.2.1:5060", "192.0.2.1", "carrier.example", "outside", check=Check(30, 3))
PBX = Trunk("pbx", ("10.0.0.0/24",), (Address("sip:10.0.0.2"),), plan=NumberPlan("49"))
CARRIER = Trunk("carrier", ("192.0.2.7/32",), (Address("sip:192.0.2.7"),), plan=NumberPlan("49"))


def tables(*routes: Route, trunks: tuple[Trunk, ...] = (PBX, CARRIER), **others: Any) -> Tables:
    return Tables({trunk.id: trunk for trunk in trunks}, routes, **others)


def route(id: str, *targets: str, **others: Any) -> Route:
    return Route(id, tuple(map(Target, targets or ("carrier",))), **others)


def from_pbx(number: str, **others: Any) -> Call:
    return Call("10.0.0.9", number, **others)


def load(store: Any, wanted: Tables, **calls: Calls) -> None:
    store.flushdb()
    for entry in all_entries(wanted, dict.fromkeys(wanted.trunks, CALLS) | calls):
        if entry.value is None:
            store.sadd(entry.key, entry.field)
        else:
            store.hset(entry.key, entry.field, entry.value)


def engine_decides(store: Any, call: Call) -> Decision:
    """What the function in Redis answers, without the reasons it does not give."""
    first = f"{call.side}\t{call.source}\t{call.proved}\t{call.draw}\t{call.now}"
    who = f"{call.asserted}\t{call.privacy}\t{call.caller}\t{call.to}"
    answer = store.execute_command("FCALL_RO", "decide", 0, first, call.number, who)
    code, told, _, _, *attempts = answer
    trunk, route, emergency, _, _ = told.split("\t")
    return Decision((), int(code), trunk, route, emergency == "1", tuple(map(engine_attempts, attempts)))


def engine_attempts(attempt: str) -> Attempt:
    fields = dict(zip(ATTEMPT_FIELDS, attempt.split("\t"), strict=True))
    who = Identity(fields["caller"], fields["asserted"], fields["privacy"] == "id")
    return Attempt(fields["trunk"], fields["uri"], fields["number"], who)


def without_reasons(decision: Decision) -> Decision:
    return dataclasses.replace(decision, why=())


def said(decision: Decision, *stages: Stage) -> list[str]:
    """The reasons of a decision, or those about some stages."""
    return [step.says for step in decision.why if not stages or step.stage in stages]


def test_the_longest_prefix_wins_and_the_reasons_say_so() -> None:
    found = decide(tables(route("any"), route("berlin", prefix="+4930"), route("de", prefix="+49")), from_pbx("030123"))
    assert (found.route, found.code) == ("berlin", 0)
    assert found.why == (
        Step(Stage.TRUNK, "10.0.0.9 is a source of trunk pbx", "pbx"),
        Step(Stage.NUMBER, "030123 is read as +4930123"),
        Step(Stage.ROUTE, "route berlin is the best match", "berlin"),
        Step(Stage.TARGET, "sip:192.0.2.7 of trunk carrier as +4930123", "carrier"),
    )


def test_an_unknown_source_is_forbidden_and_an_unknown_number_not_found() -> None:
    assert decide(tables(route("any")), Call("203.0.113.5", "1")).code == 403
    assert decide(tables(route("de", prefix="+49")), from_pbx("0043123")).code == 404


def test_the_longest_rule_decides_whether_a_source_is_heard() -> None:
    rules = (
        SourceRule("10.0.0.0/8", Action.DENY),
        SourceRule("10.0.0.8/29", Action.ALLOW),
        SourceRule("10.0.0.9/32", Action.DENY, "inside"),
    )
    pbx = dataclasses.replace(PBX, side="inside")
    both = tables(route("any"), trunks=(pbx, CARRIER), rules=rules)
    assert [standing(both, "inside", f"10.0.0.{host}") for host in (7, 8, 9)] == [
        Standing.DENIED,
        Standing.TRUSTED,
        Standing.DENIED,
    ]
    assert standing(both, "outside", "10.0.0.9") is Standing.STRANGER
    found = decide(both, from_pbx("1", side="inside"))
    assert (found.code, said(found)) == (403, ["the rule for 10.0.0.9/32 denies 10.0.0.9"])


def test_a_trunk_is_known_on_its_own_side_only() -> None:
    both = tables(route("any"), trunks=(dataclasses.replace(PBX, side="inside"), CARRIER))
    assert decide(both, from_pbx("1", side="inside")).code == 0
    assert decide(both, from_pbx("1", side="outside")).code == 403


def test_strangers_are_asked_for_a_password_only_where_a_trunk_has_one() -> None:
    remote = Trunk("remote", (), side="outside", by_password=True)
    both = tables(route("any"), trunks=(PBX, CARRIER, remote))
    assert standing(both, "outside", "203.0.113.5") is Standing.CHALLENGED
    assert standing(both, "inside", "203.0.113.5") is Standing.STRANGER
    found = decide(both, Call("203.0.113.5", "1", side="outside", proved="remote"))
    assert (found.trunk, found.code) == ("remote", 0)
    off = tables(route("any"), trunks=(dataclasses.replace(remote, enabled=False),))
    assert standing(off, "outside", "203.0.113.5") is Standing.STRANGER
    assert decide(off, Call("203.0.113.5", "1", side="outside", proved="remote")).code == 403


def test_a_route_of_the_trunk_goes_before_one_of_any_trunk_and_a_pattern_before_a_prefix() -> None:
    own, any_trunk = route("own", trunk="pbx", prefix="+49"), route("any", prefix="+49")
    assert decide(tables(any_trunk, own), from_pbx("0301")).route == "own"
    assert decide(tables(own, route("pattern", pattern="+49ZX.")), from_pbx("0301")).route == "pattern"
    assert decide(tables(own, route("pattern", pattern="+49ZX.")), from_pbx("030")).route == "own"


def test_outside_its_hours_a_route_leaves_the_call_to_the_next_best() -> None:
    # Thursday 1 January 1970, in a zone two hours east.
    office = Window(((3 * 1440 + 9 * 60, 3 * 1440 + 17 * 60),), ((0, 7200),))
    both = tables(route("open", prefix="+49", window=office), route("night"))
    assert decide(both, from_pbx("0301", now=7 * 3600)).route == "open"
    assert decide(both, from_pbx("0301", now=7 * 3600 - 1)).route == "night"
    assert decide(both, from_pbx("0301", now=15 * 3600)).route == "night"


def test_an_emergency_number_stays_as_dialled_on_every_trunk() -> None:
    strict = dataclasses.replace(CARRIER, outward=NumberRule(prefix="9"))
    both = tables(route("any"), trunks=(dataclasses.replace(PBX, inward=NumberRule(strip=1)), strict))
    rescue = dataclasses.replace(both, emergency={"112": (Target("carrier"),)})
    for dialled in ("112", "0112"):
        found = decide(rescue, from_pbx(dialled))
        assert (found.emergency, found.attempts[0].number) == (True, "112")
    assert decide(both, from_pbx("112")).attempts[0].number == "912"


def test_an_emergency_number_goes_to_its_own_targets_before_any_route() -> None:
    centre = Trunk("centre", (), (Address("sip:192.0.2.112"),))
    shut = Window(((0, 0),))
    both = tables(
        route("exact", prefix="112"),
        route("pattern", pattern="11X"),
        route("shut", window=shut),
        trunks=(PBX, CARRIER, centre),
        emergency={"112": (Target("centre", 1), Target("carrier", 2))},
    )
    found = decide(both, from_pbx("112"))
    assert [attempt.trunk for attempt in found.attempts] == ["centre", "carrier"]
    assert (found.route, said(found)[1]) == ("", "112 is an emergency number")


@pytest.mark.parametrize(
    ("format", "written"),
    [(Format.E164, "+49301"), (Format.PLAIN, "49301"), (Format.NATIONAL, "0301"), (Format.AS_IS, "+49301")],
)
def test_numbers_are_written_as_the_trunk_wants_them(format: Format, written: str) -> None:
    trunk = dataclasses.replace(CARRIER, format=format)
    assert decide(tables(route("any"), trunks=(PBX, trunk)), from_pbx("0301")).attempts[0].number == written


def test_what_is_down_is_left_out_and_a_call_with_nowhere_to_go_is_refused_at_once() -> None:
    two = dataclasses.replace(CARRIER, addresses=(Address("sip:a", 1), Address("sip:b", 2)))
    a, b = ("carrier", "sip:a"), ("carrier", "sip:b")
    half, whole = (tables(route("any"), trunks=(PBX, two), down=frozenset(down)) for down in ([a], [a, b]))
    assert [attempt.uri for attempt in decide(half, from_pbx("1")).attempts] == ["sip:b"]
    assert decide(whole, from_pbx("1")).code == 503


def test_an_emergency_call_tries_what_is_down_last() -> None:
    two = dataclasses.replace(CARRIER, addresses=(Address("sip:a", 1), Address("sip:b", 2)))
    down = frozenset({("carrier", "sip:a")})
    world = tables(trunks=(PBX, two), emergency={"112": (Target("carrier"),)}, down=down)
    assert [attempt.uri for attempt in decide(world, from_pbx("112")).attempts] == ["sip:b", "sip:a"]


def test_what_is_passed_over_is_told_with_the_reason() -> None:
    shut = Window(((0, 0),))
    routes = (
        route("night", prefix="+4930", window=shut),
        route("old", prefix="+493", enabled=False),
        route("de", "gone", "off", "dumb", "carrier", prefix="+49"),
        route("all"),
    )
    trunks = (PBX, CARRIER, Trunk("off", addresses=CARRIER.addresses, enabled=False), Trunk("dumb"))
    found = decide(tables(*routes, trunks=trunks), from_pbx("0301"))
    assert said(found, Stage.ROUTE) == [
        "route night matches and is closed at this time",
        "route old matches and is not enabled",
        "route de is the best match",
    ]
    assert said(found, Stage.TARGET) == [
        "there is no trunk gone",
        "trunk off is not enabled",
        "trunk dumb has no address",
        "sip:192.0.2.7 of trunk carrier as +49301",
    ]
    assert [step.name for step in found.why if step.taken and step.name] == ["pbx", "de", "carrier"]


def test_no_more_than_eight_addresses_are_tried_and_it_says_how_many_are_left() -> None:
    many = dataclasses.replace(CARRIER, addresses=tuple(Address(f"sip:{host}") for host in range(11)))
    found = decide(tables(route("any"), trunks=(PBX, many)), from_pbx("1"))
    assert len(found.attempts) == MOST_ATTEMPTS
    assert said(found)[-1] == "3 addresses more are not tried"


def test_a_trunk_that_has_the_source_and_is_not_known_by_it_is_told() -> None:
    off = Trunk("off", ("10.0.0.9/32",), enabled=False)
    elsewhere = Trunk("elsewhere", ("10.0.0.0/8",), side="outside")
    found = decide(tables(route("any"), trunks=(off, elsewhere, PBX, CARRIER)), from_pbx("1"))
    assert said(found, Stage.TRUNK) == [
        "trunk off has 10.0.0.9 as a source and is not enabled",
        "trunk elsewhere has 10.0.0.9 as a source and is on side outside",
        "10.0.0.9 is a source of trunk pbx",
    ]


@pytest.mark.parametrize(
    ("number", "to", "dialled"),
    [("line-1", "0301234", "+49301234"), ("0307", "0301234", "+49307"), ("line-1", "", "line-1")],
)
def test_a_call_to_the_contact_that_was_registered_is_for_the_number_in_to(number: str, to: str, dialled: str) -> None:
    registered = dataclasses.replace(PBX, contact="line-1")
    found = decide(tables(route("any"), trunks=(registered, CARRIER)), from_pbx(number, to=to))
    assert found.attempts[0].number == dialled


def test_weights_share_the_calls() -> None:
    choices = (Target("a", weight=30), Target("b", weight=10))
    first = [in_turn(choices, draw)[0].trunk for draw in range(1, 200_000, 97)]
    assert 0.70 < first.count("a") / len(first) < 0.80


# --- who calls ---

BOTH = Identity("+4930111", "+4930222")
HIDDEN = Identity(private=True)


def learns(*, of: Trunk = PBX, caller: str = "030111", privacy: Privacy = Privacy.UNSAID, **carrier: Any) -> Identity:
    """What the carrier learns of a caller whose trunk asserts another number."""
    trunks = (of, dataclasses.replace(CARRIER, **carrier))
    call = from_pbx("1", caller=caller, asserted="030222", privacy=privacy)
    return decide(tables(route("any"), trunks=trunks), call).attempts[0].who


TRUSTED = dataclasses.replace(PBX, trusted=True)
ASSERTED = CallerId.ASSERTED


def test_an_asserted_identity_passes_between_trusted_trunks_alone() -> None:
    assert learns(of=TRUSTED, trusted=True) == BOTH
    assert learns(of=TRUSTED) == Identity("+4930111")
    assert learns(trusted=True) == Identity("+4930111")


def test_where_one_is_wanted_the_sbc_asserts_what_it_believes() -> None:
    assert learns(of=TRUSTED, caller_id=ASSERTED) == BOTH
    assert learns(caller_id=ASSERTED) == Identity("+4930111", "+4930111")
    assert learns(caller_id=ASSERTED, trusted=True, format=Format.PLAIN) == Identity("4930111", "4930111")


def test_who_wants_to_stay_private_is_told_to_trusted_trunks_alone() -> None:
    private = dataclasses.replace(BOTH, private=True)
    assert learns(of=TRUSTED, trusted=True, privacy=Privacy.ID) == private
    assert learns(of=TRUSTED, privacy=Privacy.ID) == HIDDEN
    assert learns(of=TRUSTED, privacy=Privacy.ID, caller_id=ASSERTED) == HIDDEN
    assert learns(of=TRUSTED, trusted=True, privacy=Privacy.ID, caller_id=CallerId.ANONYMOUS) == HIDDEN


def test_who_hides_in_from_is_private_unless_he_says_that_he_is_not() -> None:
    for caller in ("anonymous", "Anonymous", ""):
        assert learns(of=TRUSTED, caller=caller, caller_id=ASSERTED) == HIDDEN
        shown = learns(of=TRUSTED, caller=caller, caller_id=ASSERTED, privacy=Privacy.NONE)
        assert shown == Identity("", "+4930222")


# --- the engine ---

ADD, REMOVE, REPLACE = HeaderAction


def test_header_rules_of_a_route_come_before_those_of_the_trunk_that_is_called(store: Any) -> None:
    of_route = (HeaderRule(ADD, "X-Account", "1"), HeaderRule(REMOVE, "Subject"), HeaderRule(REPLACE, "X-Zone", "a"))
    of_trunk = (HeaderRule(ADD, "X-Account", "2"), HeaderRule(REPLACE, "x-zone", "b"))
    wanted = tables(route("any", headers=of_route))
    load(store, wanted, carrier=dataclasses.replace(CALLS, headers=of_trunk))
    answer = store.execute_command("FCALL_RO", "decide", 0, "\t10.0.0.9\t\t1\t0", "1", "\t\t2")
    fields = dict(zip(ATTEMPT_FIELDS, answer[4].split("\t"), strict=True))
    assert fields["remove"] == "Subject|X-Zone|x-zone|"
    assert fields["add"].splitlines() == [
        "hide-pass-X-Account: 1",
        "hide-pass-X-Account: 2",
        "hide-pass-x-zone: b",
    ]


def test_a_name_is_called_by_what_was_found_for_it_and_by_itself_where_names_are_not_looked_up() -> None:
    named = Trunk("named", addresses=(Address("sip:pool.example", 1, named=True), Address("sip:last", 2)))
    world = tables(route("any", "named"), trunks=(PBX, named))

    def called(found: dict[str, tuple[Address, ...]] | None) -> list[str]:
        decision = decide(dataclasses.replace(world, names=found), from_pbx("1"))
        return [attempt.uri for attempt in decision.attempts]

    assert called(None) == ["sip:pool.example", "sip:last"]
    assert called({}) == ["sip:last"], "nothing was found for it"
    # Priorities of SRV hold within the name, which as a whole comes before what has a higher one.
    assert called({"sip:pool.example": (Address("sip:b", 20), Address("sip:a", 5))}) == ["sip:a", "sip:b", "sip:last"]


# --- the engine agrees ----------------------------------------------------------------------

NUMBERS = st.text("+0149", max_size=5)
WEIGHTS = st.integers(1, 3)
PRIORITIES = st.integers(1, 2)
URIS = ("sip:a", "sip:b", "sip:c")
FOUND = st.builds(Address, st.sampled_from(URIS), PRIORITIES, WEIGHTS)
NAMES = ("sip:one.example", "sip:two.example", "sip:lost.example")
ADDRESSES = FOUND | st.builds(Address, st.sampled_from(NAMES), PRIORITIES, WEIGHTS, st.just(True))
TARGETS = st.builds(Target, st.sampled_from(["t0", "t1", "t2", "gone"]), PRIORITIES, WEIGHTS)
WINDOWS = st.builds(
    Window,
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 10_080)), min_size=1, max_size=2).map(tuple),
    st.sampled_from([((0, 0),), ((0, 3600), (1_000_000, 7200)), ((500_000, -18_000),)]),
)
SIDES = st.sampled_from(["a", "a", "a", "b"])
RULES = st.builds(
    SourceRule,
    st.sampled_from(["10.0.0.0/24", "10.0.0.7/32", "0.0.0.0/0", "2001:db8::/32", "2001:db8::5/128"]),
    st.sampled_from(Action),
    st.sampled_from(["a", "b", ANY_SIDE]),
)
SOURCES = ("10.0.0.0/24", "10.0.0.7/32", "10.0.0.0/8", "2001:db8::/33", "2001:db8::5/128")


@st.composite
def trunks(draw: st.DrawFn, id: str, sources: list[str]) -> Trunk:
    return Trunk(
        id,
        tuple(sources),
        tuple(draw(st.lists(ADDRESSES, min_size=1, max_size=3))),
        plan=NumberPlan(draw(st.sampled_from(["", "4", "49"])), draw(st.sampled_from(["", "0"])), "00"),
        format=draw(st.sampled_from(Format)),
        inward=NumberRule(draw(st.integers(0, 2)), draw(st.sampled_from(["", "0", "+4"]))),
        outward=NumberRule(draw(st.integers(0, 2)), draw(st.sampled_from(["", "9"]))),
        enabled=draw(st.integers(0, 5)) > 0,
        side=draw(SIDES),
        by_password=draw(st.integers(0, 5)) == 0,
        caller_id=draw(st.sampled_from(CallerId)),
        trusted=draw(st.booleans()),
        contact=draw(st.just("") | NUMBERS),
    )


@st.composite
def routes(draw: st.DrawFn, number: int) -> Route:
    match: dict[str, Any] = {"prefix": draw(st.just("") | NUMBERS)}
    if draw(st.integers(0, 3)) == 0:
        match = {"pattern": draw(st.text("XZN+04", max_size=4)) + draw(st.sampled_from(["", "."]))}
    return Route(
        f"r{number}",
        tuple(draw(st.lists(TARGETS, max_size=4))),
        trunk=draw(st.sampled_from(["*", "*", "t0", "t1"])),
        order=draw(st.integers(1, 2)),
        window=draw(st.none() | WINDOWS),
        enabled=draw(st.integers(0, 5)) > 0,
        **match,
    )


@st.composite
def worlds(draw: st.DrawFn) -> Tables:
    owners = draw(st.lists(st.integers(0, 2), min_size=len(SOURCES), max_size=len(SOURCES)))
    known = []
    for number in range(3):
        own = [source for source, owner in zip(SOURCES, owners, strict=True) if owner == number]
        known.append(draw(trunks(f"t{number}", own)))
    count = draw(st.integers(0, 6))
    return Tables(
        {trunk.id: trunk for trunk in known},
        tuple(draw(routes(number)) for number in range(count)),
        draw(st.dictionaries(NUMBERS, st.lists(TARGETS, max_size=3).map(tuple), max_size=1)),
        frozenset(draw(st.lists(st.tuples(st.sampled_from(["t0", "t1", "t2"]), st.sampled_from(URIS)), max_size=4))),
        tuple(draw(st.lists(RULES, max_size=3, unique_by=lambda rule: (rule.prefix, rule.side)))),
        {name: tuple(draw(st.lists(FOUND, max_size=3))) for name in NAMES[:2]},
    )


CALLERS = st.builds(
    Call,
    st.sampled_from(
        ["10.0.0.7", "10.0.0.8", "10.1.0.1", "192.0.2.1", "2001:db8::5", "2001:db8:0:0::9", "2001:db8:8000::1"]
    ),
    NUMBERS,
    NUMBERS | st.sampled_from(["anonymous", "Anonymous"]),
    st.integers(0, 2_000_000),
    st.integers(1, 2**31 - 2),
    SIDES,
    st.sampled_from(["", "", "", "t0", "gone"]),
    st.just("") | NUMBERS,
    st.sampled_from(Privacy),
    NUMBERS,
)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(world=worlds(), calls=st.lists(CALLERS, min_size=1, max_size=5))
def test_the_engine_decides_as_the_policy_does(store: Any, world: Tables, calls: list[Call]) -> None:
    load(store, world)
    for call in calls:
        decided = without_reasons(decide(world, call))
        assert engine_decides(store, call) == decided
        assert len(decided.attempts) <= MOST_ATTEMPTS
        found = store.execute_command("FCALL_RO", "standing_of", 0, call.side, call.source)
        assert found == standing(world, call.side, call.source)
