import functools

import django.db.models.deletion
import django.db.models.manager
from django.conf import settings
from django.db import migrations, models

import naas.core.ids


class Migration(migrations.Migration):
    dependencies = [
        ("services", "0009_orders_that_wait"),
        ("tenants", "0005_wall_of_invitations"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="CartItem",
            fields=[
                (
                    "id",
                    models.CharField(
                        default=functools.partial(naas.core.ids.new_id, *("crt",), **{}),
                        editable=False,
                        max_length=20,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("kind", models.CharField(max_length=32)),
                ("name", models.CharField(max_length=64)),
                ("size", models.CharField(max_length=1)),
                ("spec", models.JSONField()),
                ("added_at", models.DateTimeField(auto_now_add=True)),
                ("changed_at", models.DateTimeField(auto_now=True)),
                (
                    "pop",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="services.pop"
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.tenant"
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
            ],
            options={
                "ordering": ["added_at", "id"],
                "abstract": False,
                "base_manager_name": "unscoped",
                "default_manager_name": "unscoped",
                "indexes": [models.Index(fields=["changed_at"], name="cart_items_by_age")],
            },
            managers=[("unscoped", django.db.models.manager.Manager())],
        ),
    ]
