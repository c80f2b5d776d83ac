"""The WSGI application: pages and API."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "naas.settings")

import naas.celery  # noqa: F401 - verbs publish through the current app

application = get_wsgi_application()
