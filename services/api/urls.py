"""The services' part of /api/v1/."""

from typing import Any

from django.urls import path

from services.api.metrics import Metrics, Scrape
from services.api.orders import Orders, Preview
from services.api.places import Offerings, Pops, Segments, TheAuthority, Unis
from services.api.services import Events, Generations, Inquiries, Services
from tenants.api import base as _ids  # noqa: F401 - registers the path converter

LIST: dict[str, Any] = {"get": "list"}
ONE: dict[str, Any] = {"get": "retrieve"}
CHANGE: dict[str, Any] = {"patch": "partial_update", "delete": "destroy"}

urlpatterns = [
    path("offerings", Offerings.as_view(LIST), name="offerings"),
    path("offerings/<id:pk>", Offerings.as_view(ONE), name="offering"),
    path("pops", Pops.as_view(LIST), name="pops"),
    path("pops/<id:pk>", Pops.as_view(ONE), name="pop"),
    path("unis", Unis.as_view(LIST), name="unis"),
    path("unis/<id:pk>", Unis.as_view(ONE), name="uni"),
    path("segments", Segments.as_view(LIST | {"post": "create"}), name="segments"),
    path("segments/<id:pk>", Segments.as_view(ONE | CHANGE), name="segment"),
    path("orders", Orders.as_view(LIST | {"post": "create"}), name="orders"),
    path("orders/preview", Preview.as_view(), name="order-preview"),
    path("orders/<id:pk>", Orders.as_view(ONE), name="order"),
    path("orders/<id:pk>/cancel", Orders.as_view({"post": "cancel"}), name="order-cancel"),
    path("orders/<id:pk>/hasten", Orders.as_view({"post": "hasten"}), name="order-hasten"),
    path("orders/<id:pk>/retry", Orders.as_view({"post": "retry"}), name="order-retry"),
    path("authority", TheAuthority.as_view(), name="authority"),
    path("services", Services.as_view(LIST), name="services"),
    path("services/<id:pk>", Services.as_view(ONE | CHANGE), name="service"),
    path("services/<id:pk>/heal", Services.as_view({"post": "heal"}), name="service-heal"),
    path("services/<id:service>/generations", Generations.as_view(LIST), name="generations"),
    path("services/<id:service>/events", Events.as_view(LIST), name="service-events"),
    path("services/<id:service>/metrics", Metrics.as_view({"get": "retrieve"}), name="service-metrics"),
    path("prometheus", Scrape.as_view(), name="prometheus"),
    path("services/<id:service>/inquiries", Inquiries.as_view(LIST | {"post": "create"}), name="inquiries"),
    path("services/<id:service>/inquiries/<id:pk>", Inquiries.as_view(ONE), name="inquiry"),
]
