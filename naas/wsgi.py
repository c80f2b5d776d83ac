"""The WSGI application: pages and API."""

import gc
import os
from importlib import import_module

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "naas.settings")

import naas.celery  # noqa: F401 - verbs publish through the current app

application = get_wsgi_application()

# Every view, so that no first request waits for them. What is loaded stays: a full collection that looks through all
# of it again and again would hold up a request for 0.1 s each time.
import_module("naas.urls")
gc.collect()
gc.freeze()
