"""The console's pages over what is sold, where it can stand, what was ordered and what stands."""

from django.contrib import admin

from services.admin import catalogue, certificates, inventory, orders, places

__all__ = ["catalogue", "certificates", "inventory", "orders", "places"]

admin.site.index_template = "console/dashboard.html"
admin.site.index_title = "Overview"
admin.site.enable_nav_sidebar = True
