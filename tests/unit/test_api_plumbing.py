"""What every endpoint shares: who may call, what is read, how lists and refusals look."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import caches
from django.test import Client
from django.utils import timezone

from tenants import logs
from tenants.actor import Actor, Role
from tenants.models import ApiToken, Tenant, TenantStatus, User
from tenants.verbs import members, tokens
from tests.callers import Caller, assert_problem

pytestmark = pytest.mark.urls("tests.unit.plumbing_urls")


@pytest.fixture(autouse=True)
def _fresh_counts() -> None:
    caches["counts"].clear()


@pytest.fixture
def tenant(db: None) -> Tenant:
    return Tenant.objects.create(name="Acme", slug="acme")


@pytest.fixture
def owner(tenant: Tenant) -> Caller:
    return Caller(tenant)


# --- who calls ------------------------------------------------------------------------


def test_without_a_credential_the_answer_says_how_to_give_one(db):
    response = Caller(None).get("me")
    assert "`Authorization: Bearer naas_...`" in assert_problem(response, 401, "not-authenticated")["detail"]
    assert response["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("header", ["Bearer naas_x_y", "Bearer ", "bearer x y z", "Bearer \u00e4", "Basic eDp5", "x"])
def test_a_credential_that_is_none_is_refused(db, header):
    caller = Caller(None)
    caller.headers["Authorization"] = header
    assert_problem(caller.get("me"), 401, "not-authenticated")


def test_a_token_says_who_it_is(tenant):
    me = Caller(tenant, Role.VIEWER).get("me").json()
    assert (me["kind"], me["role"], me["tenant"]["slug"]) == ("token", "viewer", "acme")


def test_an_expired_token_and_a_revoked_one_are_refused(tenant, owner):
    ApiToken.unscoped.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert_problem(owner.get("me"), 401)
    other = Caller(tenant)
    ApiToken.unscoped.update(revoked_at=timezone.now())
    assert_problem(other.get("me"), 401)


def test_a_suspended_tenant_is_told_so(tenant, owner):
    tenant.status = TenantStatus.SUSPENDED
    tenant.save()
    assert "suspended" in assert_problem(owner.get("me"), 403, "forbidden")["detail"]


@pytest.fixture
def ann(tenant: Tenant) -> User:
    ann = User.objects.create_user("ann@acme.example", "correct horse battery")
    members.add(actor=Actor.system(tenant), user=ann, role=Role.OPERATOR)
    return ann


def test_a_person_acts_in_their_only_tenant(client, ann):
    client.force_login(ann)
    me = client.get("/api/v1/me").json()
    assert (me["label"], me["kind"], me["role"]) == ("ann@acme.example", "user", "operator")


def test_a_person_of_several_tenants_says_which_by_slug_or_id(client, ann):
    other = Tenant.objects.create(name="Globex", slug="globex")
    members.add(actor=Actor.system(other), user=ann, role=Role.VIEWER)
    client.force_login(ann)
    assert "acme, globex" in assert_problem(client.get("/api/v1/me"), 400, "tenant-unclear")["detail"]
    for name in ("globex", other.pk):
        assert client.get("/api/v1/me", headers={"X-Tenant": name}).json()["role"] == "viewer"


def test_a_foreign_tenant_and_one_that_never_was_look_the_same(client, ann):
    foreign = Tenant.objects.create(name="Globex", slug="globex")
    client.force_login(ann)
    answers = [client.get("/api/v1/me", headers={"X-Tenant": name}) for name in ("globex", foreign.pk, "nowhere")]
    assert len({assert_problem(answer, 403)["detail"] for answer in answers}) == 1


def test_staff_who_belong_to_no_tenant_act_in_none(client, db):
    client.force_login(User.objects.create_user("root@provider.example", is_staff=True))
    assert_problem(client.get("/api/v1/me"), 403, "forbidden")


def test_a_session_without_a_csrf_token_changes_nothing(ann):
    client = Client(enforce_csrf_checks=True)
    client.force_login(ann)
    assert client.get("/api/v1/me").status_code == 200
    refused = client.post("/api/v1/count", {}, content_type="application/json")
    assert "CSRF" in assert_problem(refused, 403)["detail"]


# --- roles ----------------------------------------------------------------------------

MATRIX = [
    ("GET", "me", Role.VIEWER),
    ("GET", "quota", Role.VIEWER),
    ("GET", "members", Role.VIEWER),
    ("GET", "audit", Role.OPERATOR),
    ("GET", "tokens", Role.OWNER),
    ("POST", "tokens", Role.OWNER),
    ("DELETE", "tokens/tok-000000000000", Role.OWNER),
]


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize(("method", "path", "needed"), MATRIX)
def test_each_endpoint_takes_its_role(tenant, role, method, path, needed):
    response = Caller(tenant, role).raw(method, path, "{}")
    assert (response.status_code == 403) == (not role.covers(needed)), response.content


# --- what is read ---------------------------------------------------------------------

UNREADABLE = [
    ("not JSON", b"{"),
    ("nothing at all", b" "),
    ("a trailing comma", b'{"a": 1,}'),
    ("NaN", b'{"a": NaN}'),
    ("infinity", b'{"a": -Infinity}'),
    ("a member twice", b'{"a": 1, "a": 2}'),
    ("not UTF-8", b'{"a": "\xff"}'),
    ("UTF-16", '{"a": 1}'.encode("utf-16")),
    ("deep nesting", b"[" * 100 + b"]" * 100),
    ("a depth bomb", b"[" * 100_000),
    ("deep objects", b'{"a":' * 2000 + b"1" + b"}" * 2000),
    ("an endless number", b'{"a": ' + b"9" * 5000 + b"}"),
]


@pytest.mark.parametrize("body", [body for _, body in UNREADABLE], ids=[name for name, _ in UNREADABLE])
def test_what_is_not_plain_json_is_malformed(owner, body):
    assert_problem(owner.raw("POST", "count", body), 400, "malformed")


UNKEEPABLE = [
    ("NUL", r'{"a": {"b": [0, "x\u0000y"]}}', "a.b[1]"),
    ("half a surrogate", r'{"a": "\ud800"}', "a"),
    ("NUL in a name", r'{"a": {"\u0000": 1}}', "a"),
    ("more than 64 bits", '{"a": 9223372036854775808}', "a"),
    ("an exponent too large", '{"a": 1e400}', "a"),
]


@pytest.mark.parametrize(("body", "path"), [case[1:] for case in UNKEEPABLE], ids=[case[0] for case in UNKEEPABLE])
def test_what_no_database_keeps_is_refused_with_its_path(owner, body, path):
    assert_problem(owner.raw("POST", "count", body), 400, "invalid", path)


def test_a_whole_surrogate_pair_is_a_character(owner):
    assert owner.raw("POST", "count", r'{"a": "\ud83d\ude00"}').status_code == 201


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
def test_only_json_is_read(owner, kind):
    assert_problem(owner.raw("POST", "count", "a=1", content_type=kind), 415, "unsupported-media-type")


def test_a_body_beyond_the_limit_is_refused_unread(owner):
    assert_problem(owner.raw("POST", "count", b" " * (2**20 + 1)), 413, "too-large")


def test_nested_errors_carry_their_path(owner):
    problem = assert_problem(
        owner.post("check", {"items": [{"name": "ok"}, {"name": "long"}, {}], "numbers": [1, "x"]}), 400, "invalid"
    )
    assert [error["path"] for error in problem["errors"]] == ["items[1].name", "items[2].name", "numbers[1]"]


@pytest.mark.parametrize("body", [[], "x", 3, None, True])
def test_a_body_of_another_shape_is_invalid(owner, body):
    assert_problem(owner.post("tokens", body) if body is not None else owner.raw("POST", "tokens", "null"), 400)


def test_a_misspelt_field_is_not_ignored(owner):
    assert_problem(owner.post("tokens", {"name": "x", "role": "viewer", "expires": None}), 400, "invalid", "expires")


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"role": "viewer"}, "name"),
        ({"name": "", "role": "viewer"}, "name"),
        ({"name": 5, "role": "viewer"}, "name"),
        ({"name": True, "role": "viewer"}, "name"),
        ({"name": "x" * 101, "role": "viewer"}, "name"),
        ({"name": "a\nb", "role": "viewer"}, "name"),
        ({"name": "a\x1b[2Jb", "role": "viewer"}, "name"),
        ({"name": "x", "role": "emperor"}, "role"),
        ({"name": "x", "role": ["viewer"]}, "role"),
        ({"name": "x", "role": "viewer", "expires_at": "tomorrow"}, "expires_at"),
        ({"name": "x", "role": "viewer", "expires_at": "2001-01-01T00:00:00Z"}, "expires_at"),
        ({"name": "x", "role": "viewer", "expires_at": "0001-01-01T00:00:00+14:00"}, "expires_at"),
        ({"name": "x", "role": "viewer", "expires_at": "9999-12-31T23:59:59-12:00"}, "expires_at"),
    ],
)
def test_a_token_that_cannot_be_made_says_which_field_is_wrong(owner, body, path):
    before = ApiToken.unscoped.count()
    assert_problem(owner.post("tokens", body), 400, "invalid", path)
    assert ApiToken.unscoped.count() == before


# --- refusals -------------------------------------------------------------------------


def test_a_bug_is_told_by_its_request_and_nothing_else(owner):
    response = owner.post("faulty/bug")
    assert_problem(response, 500, "internal")
    assert b"hunter2" not in response.content


def test_what_may_work_later_says_when(owner):
    response = owner.post("faulty/busy")
    assert_problem(response, 503, "unavailable")
    assert response["Retry-After"] == "3"
    assert_problem(owner.post("faulty/locked"), 503, "unavailable")


def test_a_verbs_refusal_keeps_its_code(owner):
    assert assert_problem(owner.post("faulty/refused"), 409, "conflict")["detail"] == "not now"


@pytest.mark.parametrize("path", ["nowhere", "tokens/", "tokens/%00", "tokens/..%2f", "tokens/" + "x" * 65, "%ff"])
def test_an_address_that_is_none_is_a_problem_too(owner, path):
    assert_problem(owner.get(path), 404, "not-found")


def test_a_method_that_is_none_lists_those_that_are(owner):
    response = owner.raw("PUT", "tokens", "{}")
    assert_problem(response, 405, "method-not-allowed")
    assert response["Allow"] == "GET, POST, HEAD, OPTIONS"


def test_an_unknown_host_is_a_problem_too(owner):
    assert_problem(owner.client.get("/api/v1/me", headers={"Host": "evil.example"}), 400, "malformed")


# --- request ids and log lines ----------------------------------------------------------


def test_a_request_keeps_the_id_it_came_with(owner):
    owner.headers["X-Request-Id"] = "build-1234.5"
    assert owner.get("me")["X-Request-Id"] == "build-1234.5"


@pytest.mark.parametrize("id", ["short", "x" * 65, "with space", "semi;colon", "<script>alert(1)</script>"])
def test_an_id_that_could_do_harm_is_replaced(owner, id):
    owner.headers["X-Request-Id"] = id
    assert len(owner.get("me")["X-Request-Id"]) == 16


def test_a_log_line_is_one_line_of_json_with_the_request(caplog):
    import json
    import logging

    record = logging.LogRecord("x", logging.INFO, "f", 1, "two\nlines %s", ("\x1b",), None)
    mark = logs.request_id.set("r-12345678")
    logs.WithRequestId().filter(record)
    logs.request_id.reset(mark)
    line = logs.JsonLines().format(record)
    assert "\n" not in line
    assert "\x1b" not in line
    assert json.loads(line)["request_id"] == "r-12345678"


def test_the_trail_names_the_request_and_the_address(owner):
    owner.headers["X-Request-Id"] = "build-1234.5"
    owner.post("tokens", {"name": "x", "role": "viewer"})
    line = owner.get("audit", request_id="build-1234.5").json()["results"][0]
    assert (line["verb"], line["address"], line["actor_kind"]) == ("token.issue", "127.0.0.1", "token")


# --- lists ----------------------------------------------------------------------------


@pytest.fixture
def many(tenant: Tenant, owner: Caller) -> Caller:
    for number in range(5):
        tokens.issue(actor=Actor.system(tenant), name=f"t{number}", role=Role.VIEWER)
    return owner


def test_pages_say_how_many_there_are_and_where_the_next_is(many):
    first = many.get("tokens", limit=4, ordering="name").json()
    assert (first["count"], first["previous"], len(first["results"])) == (6, None, 4)
    second = many.client.get(first["next"], headers=many.headers).json()
    assert [row["name"] for row in second["results"]] == ["t4", "test owner"]
    assert second["next"] is None


def test_a_page_is_never_longer_than_the_cap(many):
    assert many.get("tokens", limit=10**6).json()["count"] == 6


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("limit", "0"),
        ("limit", "-1"),
        ("limit", "x"),
        ("limit", "1e3"),
        ("limit", "\u0663"),
        ("offset", "-1"),
        ("offset", "9" * 30),
        ("ordering", "digest"),
        ("ordering", "name,nothing"),
        ("colour", "red"),
    ],
)
def test_a_parameter_that_means_nothing_is_refused(owner, name, value):
    assert_problem(owner.get("tokens", **{name: value}), 400, "invalid", name)


@pytest.mark.parametrize(
    ("name", "value"),
    [("since", ""), ("verb", ""), ("since", "yesterday"), ("actor_kind", "god"), ("verb", "a\0b"), ("since", "a\0b")],
)
def test_a_filter_of_the_wrong_type_is_refused(owner, name, value):
    assert_problem(owner.get("audit", **{name: value}), 400, "invalid", name)


def test_a_parameter_given_twice_is_refused(owner):
    assert_problem(owner.client.get("/api/v1/tokens?limit=1&limit=2", headers=owner.headers), 400, "invalid", "limit")


def test_the_trail_can_be_filtered(many):
    assert many.get("audit", verb="token.issue").json()["count"] == 6
    assert many.get("audit", verb="token.issue", limit=1).json()["results"]
    assert many.get("audit", since="2999-01-01T00:00:00Z").json()["count"] == 0


def test_a_list_shows_nothing_of_another_tenant(many):
    other = Caller(Tenant.objects.create(name="Globex", slug="globex"))
    for path in ("tokens", "members", "audit"):
        answer = other.get(path).json()
        assert answer["count"] == len(answer["results"]) <= 1
        assert "'t1'" not in str(answer)  # the name of a token, not a piece of a random id


# --- how often ------------------------------------------------------------------------


@pytest.fixture
def _slow(settings: Any) -> None:
    rates = {"caller": "3/min", "stranger": "3/min"}
    settings.REST_FRAMEWORK = settings.REST_FRAMEWORK | {"DEFAULT_THROTTLE_RATES": rates}


@pytest.mark.usefixtures("_slow")
def test_a_caller_who_calls_too_often_is_told_when_to_come_back(tenant):
    callers = [Caller(tenant), Caller(tenant)]
    assert [callers[0].get("me").status_code for _ in range(3)] == [200] * 3
    response = callers[0].get("me")
    assert_problem(response, 429, "throttled")
    assert 0 < int(response["Retry-After"]) <= 60
    assert callers[1].get("me").status_code == 200, "another token has its own count"


@pytest.mark.usefixtures("_slow")
def test_guessing_tokens_is_held_up_by_address(db):
    stranger = Caller(None)
    stranger.headers["Authorization"] = "Bearer naas_guess_guess"
    assert [stranger.get("me").status_code for _ in range(4)] == [401, 401, 401, 429]


def test_without_the_cache_nobody_is_held_up(owner, settings):
    settings.CACHES = settings.CACHES | {
        "counts": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": "redis://127.0.0.1:1/0",
            "OPTIONS": {"socket_connect_timeout": 0.2},
        }
    }
    assert owner.get("me").status_code == 200


# --- tokens ---------------------------------------------------------------------------


def test_a_token_is_shown_once_and_works_until_it_is_revoked(owner):
    made = owner.post("tokens", {"name": "ci", "role": "operator"}).json()
    caller = Caller(None)
    caller.headers["Authorization"] = f"Bearer {made['token']}"
    assert caller.get("me").json()["role"] == "operator"
    assert "token" not in owner.get(f"tokens/{made['id']}").json()
    assert owner.delete(f"tokens/{made['id']}").status_code == 204
    assert owner.delete(f"tokens/{made['id']}").status_code == 204
    assert_problem(caller.get("me"), 401)


def test_quota_says_what_may_be_and_what_is(owner):
    assert owner.get("quota").json() == {
        "limits": {"services": 20, "vcpu": 40.0, "memory_mb": 40960},
        "used": {"services": 0, "vcpu": 0.0, "memory_mb": 0},
    }


# --- what stands beside the API -----------------------------------------------------------


def test_the_description_is_valid_openapi_3_1(client, db):
    from drf_spectacular.validation import validate_schema

    description = client.get("/api/schema/", headers={"Accept": "application/vnd.oai.openapi+json"}).json()
    assert description["openapi"] == "3.1.0"
    validate_schema(description)
    post = description["paths"]["/api/v1/tokens"]["post"]
    assert "Idempotency-Key" in [parameter["name"] for parameter in post["parameters"]]
    assert {"201", "400", "401", "403", "409", "415", "422", "429"} <= set(post["responses"])


def test_the_documentation_needs_no_inline_script(client, db):
    page = client.get("/api/docs/")
    assert page.status_code == 200
    for part in page.content.decode().split("<script")[1:]:
        assert part.lstrip().startswith("src="), part
    directives = [directive.strip() for directive in page["Content-Security-Policy"].split(";")]
    assert "script-src 'self'" in directives


def test_only_the_admin_console_may_evaluate(client, db):
    assert "unsafe-eval" in client.get("/admin/login/")["Content-Security-Policy"]
    assert "unsafe-eval" not in client.get("/healthz")["Content-Security-Policy"]


def test_health_tells_apart_what_fails(client, db, settings):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    assert client.get("/healthz").json() == {"status": "failing", "database": "ok", "broker": "failing"}
    ready = client.get("/readyz")
    assert (ready.status_code, ready.json()) == (200, {"status": "ok", "database": "ok", "migrations": "ok"})
