"""Pages of the console before there is anything: every list says what would be in it."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin
from django.test import Client

from services.models import Offering
from tenants.console import Console, list_of
from tenants.models import AuditEvent, User
from tests import world
from tests.unit.test_admin_pages import IDS, MODELS

pytestmark = pytest.mark.django_db


@pytest.fixture
def ops(client: Client) -> Client:
    Offering.objects.all().delete()
    client.force_login(world.staff())
    return client


@pytest.mark.parametrize("model", MODELS, ids=IDS)
def test_an_empty_list_says_so(model: Any, ops: Client) -> None:
    if model is User or model is AuditEvent:
        pytest.skip("there is always a person, and what they did")
    page = admin.site._registry[model]
    assert isinstance(page, Console)
    assert page.about and page.empty in ops.get(list_of(model)).content.decode().replace("&#x27;", "'")
