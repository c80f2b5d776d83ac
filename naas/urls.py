"""Every address of the site."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

urlpatterns: list[URLPattern | URLResolver] = [
    path("", include("tenants.urls")),
    path("api/v1/", include("services.api.urls")),
    path("api/v1/", include("sbc.api.urls")),
    path("admin/", admin.site.urls),
]

handler400 = "tenants.api.problems.bad_request"
handler403 = "tenants.api.problems.permission_denied"
handler404 = "tenants.api.problems.not_found"
handler500 = "tenants.api.problems.server_error"
