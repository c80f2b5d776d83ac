#!/usr/bin/env python
"""Django's command line, with the core's Celery app as the one that publishes."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "naas.settings")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    try:
        import naas.celery  # noqa: F401 - verbs publish through the current app
    except ImproperlyConfigured as error:
        sys.exit(f"naas cannot start: {error}")
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
