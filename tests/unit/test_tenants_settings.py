"""Settings as another process sees them: without pytest's leave to use throwaway keys."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings
from django.utils.module_loading import import_string

from naas.core.crypto import new_key
from tenants.models import Tenant

ROOT = Path(__file__).resolve().parents[2]


def start(tmp_path: Path, code: str = "", *, file: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    kept = {name: os.environ[name] for name in ("PATH",) if name in os.environ}
    return subprocess.run(
        [sys.executable, "-c", f"import django; django.setup(); from django.conf import settings; {code}"],
        cwd=ROOT,
        env=kept
        | {
            "DJANGO_SETTINGS_MODULE": "naas.settings",
            "NAAS_VAR": str(tmp_path),
            "NAAS_ENV_FILE": str(file),
        }
        | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def empty(tmp_path):
    file = tmp_path / "empty.env"
    file.touch()
    return file


@pytest.mark.parametrize(
    ("missing", "given"),
    [("SECRET_KEY", {}), ("NAAS_ENCRYPTION_KEYS", {"SECRET_KEY": "s" * 50})],
)
def test_without_a_secret_it_refuses_to_start_and_says_how_to_make_one(tmp_path, empty, missing, given):
    started = start(tmp_path, file=empty, **given)
    assert started.returncode != 0
    assert f"ImproperlyConfigured: {missing} is not set" in started.stderr
    assert f"{missing}=$(python3 -c" in started.stderr


def test_the_command_line_refuses_without_a_traceback(tmp_path, empty):
    environment = {"PATH": os.environ["PATH"], "NAAS_VAR": str(tmp_path), "NAAS_ENV_FILE": str(empty)}
    started = subprocess.run(
        [sys.executable, "manage.py", "check"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert started.returncode == 1
    assert started.stderr.startswith("naas cannot start: SECRET_KEY")
    assert "Traceback" not in started.stderr


def test_secrets_are_read_from_the_file_and_production_is_closed_by_default(tmp_path):
    file = tmp_path / "naas.env"
    file.write_text(f"SECRET_KEY={'s' * 50}\nNAAS_ENCRYPTION_KEYS={new_key()},{new_key()}\n")
    code = (
        "print(settings.DEBUG, len(settings.NAAS_ENCRYPTION_KEYS), settings.SESSION_COOKIE_SECURE,"
        " settings.SECURE_HSTS_SECONDS > 0, settings.DATABASES['default']['OPTIONS']['transaction_mode'])"
    )
    started = start(tmp_path, code, file=file)
    assert started.stdout.split() == ["False", "2", "True", "True", "IMMEDIATE"], started.stderr


def test_a_settings_file_that_is_named_and_missing_is_an_error(tmp_path):
    started = start(tmp_path, file=tmp_path / "nowhere.env")
    assert "is not a file" in started.stderr


def test_what_settings_name_can_be_imported():
    for name in (str(settings.NAAS_QUOTA_USAGE), *settings.MIDDLEWARE):
        import_string(name)


@pytest.mark.django_db
def test_the_quota_hook_counts_a_tenant_that_has_nothing():
    tenant = Tenant.objects.create(name="Acme", slug="acme")
    used = import_string(str(settings.NAAS_QUOTA_USAGE))(tenant)
    assert (used.services, used.vcpu, used.memory_mb) == (0, 0, 0)
