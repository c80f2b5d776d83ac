"""Every address of the site."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

import sbc.portal.urls
import services.portal.urls
import tenants.portal.urls
from services.api.metrics import scrape_all
from tenants import pages

#: The pages of the portal, which stand below a tenant's address in one namespace.
PORTAL = [*services.portal.urls.urlpatterns, *sbc.portal.urls.urlpatterns, *tenants.portal.urls.urlpatterns]

urlpatterns: list[URLPattern | URLResolver] = [
    path("", include("tenants.urls")),
    path("api/v1/", include("services.api.urls")),
    path("api/v1/", include("sbc.api.urls")),
    path("t/<slug:tenant>/", include((PORTAL, "portal"))),
    path("metrics", scrape_all, name="metrics"),
    path("admin/login/", pages.to_console),
    path("admin/", admin.site.urls),
]

handler400 = "tenants.api.problems.bad_request"
handler403 = "tenants.api.problems.permission_denied"
handler404 = "tenants.api.problems.not_found"
handler500 = "tenants.api.problems.server_error"
