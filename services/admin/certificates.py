"""Pages over the platform's certificate authority and what it issued. They show no key."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest

from services.certificates import fingerprint
from services.models import Authority, Certificate
from tenants import looks
from tenants.console import BY_TENANT, Console


@admin.register(Authority)
class AuthorityPage(Console):
    about = "The authority that issues certificates to services. Customers get it at /api/v1/authority and trust it."
    empty = "There is none yet: it is made with the first certificate."
    list_display = ("name", "fingerprint_shown", "created_at", "not_after")
    fieldsets = ((None, {"fields": ("name", ("created_at", "not_after"), "fingerprint_shown", "certificate_shown")}),)

    @admin.display(description="SHA-256")
    def fingerprint_shown(self, authority: Authority) -> str:
        return fingerprint(authority.certificate)

    @admin.display(description="Certificate")
    def certificate_shown(self, authority: Authority) -> str:
        return looks.text(authority.certificate)


@admin.register(Certificate)
class CertificatePage(Console):
    about = "Certificates that the platform issued to services. They are renewed 30 days before their end."
    empty = "No service has a certificate of ours."
    list_display = ("__str__", "service", "tenant", "issued_at", "not_after")
    list_select_related = ("instance", "tenant")
    list_filter = (BY_TENANT,)
    search_fields = ("names", "instance__name", "instance__id")
    date_hierarchy = "not_after"
    fieldsets = ((None, {"fields": ("id", "names", ("service", "tenant"), ("issued_at", "not_after"), "chain_shown")}),)

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        return lookup == "instance__id__exact" or super().lookup_allowed(lookup, value, request)

    @admin.display(description="Service", ordering="instance__name")
    def service(self, certificate: Certificate) -> str:
        return looks.link(certificate.instance, certificate.instance.name)

    @admin.display(description="Certificates")
    def chain_shown(self, certificate: Certificate) -> str:
        return looks.text(certificate.chain)
