"""The README: what it tells a newcomer to send is taken, on an installation where the demo has run."""

from __future__ import annotations

import json
import re
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command

from scripts import calls, demo
from scripts.customer import Account
from services.models import Pop, ServiceInstance
from tests.callers import Caller
from tests.unit.conftest import found
from worker.report import Phase

README = (Path(__file__).parents[2] / "README.md").read_text()
#: A request of the README: below which address, its path, and its body.
SENT = [
    (base, path, json.loads(body))
    for base, path, body in re.findall(r"\$(API|SBC)/(\S+)[^$]*?-d '(.*?)'", README, re.S)
]


@pytest.fixture
def newcomer(pop: Pop) -> Caller:
    """Who has just typed `make up`."""
    said = StringIO()
    call_command("demo_tenant", "--json", stdout=said)
    document = json.loads(said.getvalue())
    unis = {uni["name"]: uni for uni in document["unis"]}
    account = Account(email=document["email"], token=document["token"], site_url="", unis=unis)
    caller = Caller(None)
    caller.headers["Authorization"] = f"Bearer {account.token}"
    for segment in (*demo.segments(account), *calls.segments(account)):
        assert caller.post("segments", segment).status_code == 201
    return caller


def test_what_a_newcomer_sends_is_taken_beside_the_demos_own(newcomer: Caller) -> None:
    services: dict[str, str] = {}
    for base, path, body in SENT:
        answer = newcomer.post(f"sbc/{services['my-sbc']}/{path}" if base == "SBC" else path, body)
        assert answer.status_code == 201, answer.content
        for item in answer.json().get("items", ()):
            services[item["service"]["name"]] = item["service"]["id"]
            found(ServiceInstance.unscoped.get(pk=item["service"]["id"]), Phase.CONVERGED)
    assert set(services) == {"my-router", "my-sbc"}
    assert len(SENT) == 7
