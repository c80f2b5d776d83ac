"""The SBC's part of /api/v1/."""

from typing import Any

from django.urls import path, register_converter

from sbc.api.documents import EmergencyNumbers, Routes, Sources, Trunks
from sbc.api.live import Bans, Calls, TestCalls, TrunkStates
from sbc.api.records import Records, Statistics
from sbc.api.simulations import Simulations
from sbc.api.state import Certificate, Renewal, TablesState
from tenants.api import base as _ids  # noqa: F401 - registers the path converter


class Address:
    """A path component that can be an IP address. Whether it is one is said by the looking glass.

    Of an IPv6 network, as bans are shown, it is the first one.
    """

    regex = "[A-Za-z0-9:._-]{1,64}(/64)?"

    def to_python(self, value: str) -> str:
        return value.removesuffix("/64")

    def to_url(self, value: str) -> str:
        return value


register_converter(Address, "address")

LIST: dict[str, Any] = {"get": "list"}
ONE: dict[str, Any] = {"get": "retrieve"}
MADE = LIST | {"post": "create"}
KEPT = ONE | {"put": "update", "patch": "partial_update", "delete": "destroy"}
SBC = "sbc/<id:service>"

urlpatterns = [
    path(f"{SBC}/trunks", Trunks.as_view(MADE), name="sbc-trunks"),
    path(f"{SBC}/trunks/<id:pk>", Trunks.as_view(KEPT), name="sbc-trunk"),
    path(f"{SBC}/routes", Routes.as_view(MADE), name="sbc-routes"),
    path(f"{SBC}/routes/<id:pk>", Routes.as_view(KEPT), name="sbc-route"),
    path(f"{SBC}/sources", Sources.as_view(MADE), name="sbc-sources"),
    path(f"{SBC}/sources/<id:pk>", Sources.as_view(KEPT), name="sbc-source"),
    path(f"{SBC}/emergency", EmergencyNumbers.as_view(ONE | {"put": "update"}), name="sbc-emergency"),
    path(f"{SBC}/tables", TablesState.as_view(ONE), name="sbc-tables"),
    path(f"{SBC}/simulations", Simulations.as_view({"post": "create"}), name="sbc-simulations"),
    path(f"{SBC}/trunk-states", TrunkStates.as_view(LIST), name="sbc-trunk-states"),
    path(f"{SBC}/trunk-states/<id:pk>", TrunkStates.as_view(ONE), name="sbc-trunk-state"),
    path(f"{SBC}/calls", Calls.as_view(LIST), name="sbc-calls"),
    path(f"{SBC}/calls/<id:pk>", Calls.as_view({"delete": "destroy"}), name="sbc-call"),
    path(f"{SBC}/bans", Bans.as_view(LIST), name="sbc-bans"),
    path(f"{SBC}/bans/<address:pk>", Bans.as_view({"delete": "destroy"}), name="sbc-ban"),
    path(f"{SBC}/records", Records.as_view(LIST), name="sbc-records"),
    path(f"{SBC}/records/<id:pk>", Records.as_view(ONE), name="sbc-record"),
    path(f"{SBC}/statistics", Statistics.as_view(ONE), name="sbc-statistics"),
    path(f"{SBC}/test-calls", TestCalls.as_view(MADE), name="sbc-test-calls"),
    path(f"{SBC}/test-calls/<id:pk>", TestCalls.as_view(ONE), name="sbc-test-call"),
    path(
        f"{SBC}/certificate",
        Certificate.as_view(ONE | {"put": "update", "delete": "destroy"}),
        name="sbc-certificate",
    ),
    path(f"{SBC}/certificate/renewal", Renewal.as_view({"post": "create"}), name="sbc-certificate-renewal"),
]
