"""The ASGI application: for long-lived answers only; pages and API are served by WSGI."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "naas.settings")

import naas.celery  # noqa: F401 - verbs publish through the current app

application = get_asgi_application()
