"""The ASGI application: the event streams; pages and API are served by WSGI."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "naas.settings")
django.setup()

from tenants.stream.app import Events  # noqa: E402 - needs the applications

application = Events()
