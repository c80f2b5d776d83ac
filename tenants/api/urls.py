"""The tenants' part of /api/v1/."""

from django.urls import path

from tenants.api import base as _ids  # noqa: F401 - registers the path converter
from tenants.api import views

urlpatterns = [
    path("me", views.MeView.as_view(), name="me"),
    path("quota", views.QuotaView.as_view(), name="quota"),
    path("tokens", views.Tokens.as_view({"get": "list", "post": "create"}), name="tokens"),
    path("tokens/<id:pk>", views.Tokens.as_view({"get": "retrieve", "delete": "destroy"}), name="token"),
    path("members", views.Members.as_view({"get": "list"}), name="members"),
    path("audit", views.Audit.as_view({"get": "list"}), name="audit"),
]
