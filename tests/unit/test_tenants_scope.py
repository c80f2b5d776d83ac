"""The one door: what a tenant sees, and that nobody walks around it."""

import ast
from pathlib import Path

import pytest
from django.apps import apps
from django.db.models import ForeignKey

from naas.core.errors import NotFound
from tenants import scope
from tenants.actor import Actor, Role
from tenants.models import ApiToken, AuditEvent, Tenant, TenantOwned, User
from tenants.verbs import tokens

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("naas", "tenants", "services", "sbc")

#: Who may look across tenants, and why. Everything else goes through `tenants.scope`.
MAY_SAY_UNSCOPED = {
    "tenants/models.py": "defines it",
    "tenants/scope.py": "is the door",
    "tenants/changes.py": "one reader of the event log passes it on to the pages of each tenant",
    "tenants/api/base.py": "an empty list, for the API's description",
    "tenants/api/idempotency.py": "deletes what is too old of all tenants; finishes its own records",
    "tenants/verbs/audit.py": "writes rows of the actor's tenant",
    "tenants/verbs/invitations.py": "finds the tenant by the code",
    "tenants/verbs/members.py": "the provider opens tenants",
    "tenants/verbs/quotas.py": "limits of the tenant it is given",
    "tenants/verbs/signon.py": "the provider confirms a domain for one tenant of all",
    "tenants/verbs/tokens.py": "finds the tenant by the token",
}
#: Verbs and the core's own work, which are given rows or tenants and act for the platform.
PLATFORM = ("services/", "sbc/")
#: Nobody here is the platform: these act for one tenant only.
NEVER = ("/api/", "/portal/")


@pytest.fixture
def tenants(db):
    return [Tenant.objects.create(name=name, slug=name) for name in ("acme", "globex")]


@pytest.fixture
def owned(tenants):
    return [tokens.issue(actor=Actor.system(tenant), name="ci", role=Role.VIEWER).token for tenant in tenants]


def test_a_scope_holds_its_own_rows_only(tenants, owned):
    assert list(scope.of(tenants[0]).all(ApiToken)) == [owned[0]]
    assert scope.of(Actor.system(tenants[1])).get(ApiToken, owned[1].pk) == owned[1]


def test_what_is_someone_elses_looks_like_what_never_was(tenants, owned):
    def refusal(id: str) -> str:
        with pytest.raises(NotFound) as refused:
            scope.of(tenants[0]).get(ApiToken, id)
        return refused.value.detail.replace(id, "ID")

    assert refusal(owned[1].pk) == refusal("tok-000000000000") == "no token with id ID"


@pytest.mark.parametrize("id", ["", "x" * 1000, None, 3, "'; --"])
def test_what_cannot_be_a_key_is_not_found(tenants, id):
    with pytest.raises(NotFound):
        scope.of(tenants[0]).get(ApiToken, id)


@pytest.mark.parametrize("id", ["x", 2**80, None, "1.5"])
def test_what_cannot_be_a_number_is_not_found(tenants, id):
    with pytest.raises(NotFound):
        scope.of(tenants[0]).get(AuditEvent, id)


def test_a_model_of_no_tenant_has_no_place_in_a_scope(tenants):
    with pytest.raises(scope.NotTenantOwned):
        scope.of(tenants[0]).all(User)  # type: ignore[type-var]  # the checker sees it too


def our_models():
    return [model for model in apps.get_models() if model.__module__.split(".")[0] in PACKAGES]


def test_every_model_that_names_a_tenant_is_owned_by_it():
    for model in our_models():
        naming = [f for f in model._meta.get_fields() if isinstance(f, ForeignKey) and f.related_model is Tenant]
        assert bool(naming) == issubclass(model, TenantOwned), model


def test_an_owned_model_has_no_manager_but_the_conspicuous_one():
    for model in our_models():
        if issubclass(model, TenantOwned):
            assert [manager.name for manager in model._meta.managers] == ["unscoped"], model


def names_unscoped(file):
    marks = {"unscoped", "_default_manager", "_base_manager"}
    tree = ast.parse(file.read_text())
    return any(
        (isinstance(node, ast.Attribute) and node.attr in marks) or (isinstance(node, ast.Name) and node.id in marks)
        for node in ast.walk(tree)
    )


def sources():
    for package in PACKAGES:
        for file in (ROOT / package).rglob("*.py"):
            if "migrations" not in file.parts:
                yield file.relative_to(ROOT).as_posix(), file


def test_nobody_else_looks_across_tenants():
    found = {name for name, file in sources() if names_unscoped(file)}
    allowed = {n for n in found if n in MAY_SAY_UNSCOPED or (n.startswith(PLATFORM) and not any(p in n for p in NEVER))}
    assert found - allowed == set(), "use tenants.scope, or say here why not"


def test_the_list_of_exceptions_is_not_longer_than_needed():
    assert set(MAY_SAY_UNSCOPED) <= {name for name, file in sources() if names_unscoped(file)}
