"""Settings, all from the environment (and from `var/naas.env`, where it exists).

Nothing here is secret, and nothing that must be secret has a default: in production a
missing key refuses to start and says how to make one.
"""

from __future__ import annotations

import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import environ
from csp.constants import NONE, SELF, UNSAFE_EVAL, UNSAFE_INLINE
from django.core.exceptions import ImproperlyConfigured
from django.core.management.utils import get_random_secret_key
from django.templatetags.static import static
from django.urls import reverse_lazy
from redis.backoff import NoBackoff
from redis.retry import Retry

from naas.core.crypto import new_key
from services.lifecycle import OrderState, ServiceState
from worker.report import StepState

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()

#: pytest says so itself, and mypy reads the settings too. Both take throwaway keys and never an installation's own
#: settings.
TESTING = "PYTEST_VERSION" in os.environ or "mypy" in sys.modules

ENV_FILE = Path(env.str("NAAS_ENV_FILE", default=str(BASE_DIR / "var" / "naas.env")))
if "NAAS_ENV_FILE" in os.environ or (ENV_FILE.is_file() and not TESTING):
    if not ENV_FILE.is_file():
        raise ImproperlyConfigured(f"NAAS_ENV_FILE names {ENV_FILE}, which is not a file")
    env.read_env(ENV_FILE)

#: Where this installation keeps its data: database, keys, sockets.
NAAS_VAR = Path(env.str("NAAS_VAR", default=str(BASE_DIR / "var")))

DEBUG = env.bool("DEBUG", default=False)


def _secret(name: str, recipe: str, throwaway: str) -> str:
    value = env.str(name, default="")
    if value or TESTING:
        return value or throwaway
    raise ImproperlyConfigured(f"{name} is not set, and without it nothing here is safe. {recipe} (or run `make up`).")


SECRET_KEY = _secret(
    "SECRET_KEY",
    'Put it into the environment or var/naas.env: SECRET_KEY=$(python3 -c "import secrets; '
    'print(secrets.token_urlsafe(50))")',
    get_random_secret_key(),
)
#: Fernet keys for secrets in the database. The first encrypts, all decrypt; never drop one that is still in use.
NAAS_ENCRYPTION_KEYS = tuple(
    key.strip()
    for key in _secret(
        "NAAS_ENCRYPTION_KEYS",
        'Put it into the environment or var/naas.env: NAAS_ENCRYPTION_KEYS=$(python3 -c "import base64, os; '
        'print(base64.urlsafe_b64encode(os.urandom(32)).decode())")',
        new_key(),
    ).split(",")
)

#: The core's signing and sealing keys (`worker.seal`).
NAAS_CORE_IDENTITY_FILE = Path(env.str("NAAS_CORE_IDENTITY_FILE", default=str(NAAS_VAR / "core-identity.json")))
#: Modules of the kinds on sale; each exposes KIND.
NAAS_KINDS = ("services.kinds.router", "sbc.kind")
#: By kind, called with a service and the spec that an order wants of it: raises `Invalid` for what does not agree with
#: what else is kept of the service.
NAAS_SPEC_CHECKS = {"sbc": "sbc.agreement.check"}
#: Called with a tenant: what of the quota is in use. See `tenants.verbs.quotas.Usage`.
NAAS_QUOTA_USAGE: str | None = "services.limits.usage"

# Seconds in which an order must be done; then it fails with a reason and is undone.
NAAS_ORDER_DEADLINE = env.int("NAAS_ORDER_DEADLINE", default=300)
# Seconds for which a removal in the portal waits and can be undone; 0: it is done at once.
NAAS_TERMINATION_GRACE = env.int("NAAS_TERMINATION_GRACE", default=1800)

#: Event streams that one person may have open. The tabs of a browser share one for each tenant.
NAAS_STREAMS_PER_PERSON = env.int("NAAS_STREAMS_PER_PERSON", default=20)

ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
#: Proxies in front of us whose X-Forwarded-For and X-Forwarded-Proto are believed.
PROXIES_OF_OTHERS = env.int("NAAS_TRUSTED_PROXIES", default=0)
#: And with them our own front, behind which the web process knows itself to be, and which has event streams
#: (`scripts.front`).
NAAS_EVENT_STREAMS = env.bool("NAAS_BEHIND_FRONT", default=False)
NAAS_TRUSTED_PROXIES = PROXIES_OF_OTHERS + NAAS_EVENT_STREAMS

# --- applications ---------------------------------------------------------------------

INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "csp",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "axes",
    "tenants",
    "services",
    "sbc",
]

MIDDLEWARE = [
    "tenants.middleware.RequestId",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    # Pages alone: static files are compressed beforehand. It pads what it compresses, so that lengths tell no secrets.
    "django.middleware.gzip.GZipMiddleware",
    "tenants.middleware.ContentSecurityPolicy",
    "tenants.middleware.BodyLimit",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "tenants.signin.sessions.Seen",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "tenants.middleware.Wall",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "naas.urls"
WSGI_APPLICATION = "naas.wsgi.application"
ASGI_APPLICATION = "naas.asgi.application"
APPEND_SLASH = False

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        # Before those of the libraries, whose admin pages ours take away.
        "DIRS": [BASE_DIR / "tenants" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# --- data -----------------------------------------------------------------------------


def _database() -> dict[str, Any]:
    """SQLite with the options without which concurrent writers fail as locked; PostgreSQL by DATABASE_URL."""
    config: dict[str, Any] = env.db_url("DATABASE_URL", default=f"sqlite:///{NAAS_VAR / 'naas.sqlite3'}")
    if config["ENGINE"] == "django.db.backends.sqlite3":
        return config | {
            "OPTIONS": {
                "transaction_mode": "IMMEDIATE",
                "timeout": 20,
                "init_command": "PRAGMA journal_mode=WAL;PRAGMA synchronous=NORMAL;",
            }
        }
    return config | {"CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True}


DATABASES = {"default": _database()}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

#: Tests publish nowhere unless they say so: an installation's workers must not find their messages.
REDIS_URL = env.str("REDIS_URL", default="redis://127.0.0.1:1/0" if TESTING else "redis://127.0.0.1:6379/0")

CACHES: dict[str, Any] = {
    # What guards accounts (tries of codes, codes used already) holds also while Redis is away, and is not forgotten.
    "default": {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "naas_cache"},
    # Requests of callers, counted as long as there is something to count them with.
    "counts": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
    if TESTING
    else {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "naas-cache",
        # Tried once: a request does not wait for the cache.
        "OPTIONS": {"socket_connect_timeout": 0.3, "socket_timeout": 0.3, "retry": Retry(NoBackoff(), 0)},
    },
}

# --- people ---------------------------------------------------------------------------

AUTH_USER_MODEL = "tenants.User"
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.ScryptPasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator",
        "OPTIONS": {"user_attributes": ("email", "name")},
    },
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
AUTHENTICATION_BACKENDS = [
    # First, so that who is locked out is asked nothing.
    "axes.backends.AxesStandaloneBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
LOGIN_URL = "/login/"
LOGIN_REDIRECT_URL = LOGOUT_REDIRECT_URL = "/"
SESSION_COOKIE_AGE = 12 * 3600

ACCOUNT_ADAPTER = "tenants.signin.accounts.Accounts"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
#: An address was proved when its person took up the invitation that was mailed there, or the provider knows it.
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS = False
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_REAUTHENTICATION_TIMEOUT = 300
MFA_ADAPTER = "tenants.signin.factors.Factors"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_TOTP_ISSUER = "naas"
#: Also the code of half a minute before and after: clocks of telephones differ.
MFA_TOTP_TOLERANCE = 1
#: What changes may be made of factors only by who showed again, in the last five minutes, who they are.
MFA_REAUTHENTICATION_REQUIRED = True
#: A link to choose another password holds for so many seconds.
PASSWORD_RESET_TIMEOUT = 3600

#: For tests: a provider of single sign-on may be this machine, without TLS.
NAAS_SSO_LOOPBACK = False

#: Wrong passwords for an account from one address, after which that address waits.
AXES_FAILURE_LIMIT = env.int("NAAS_LOCKOUT_AFTER", default=5)
AXES_COOLOFF_TIME = timedelta(minutes=env.int("NAAS_LOCKOUT_MINUTES", default=15))
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
# The moment that is told when one may try again stays true.
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_USERNAME_CALLABLE = "tenants.signin.lockout.account_of"
AXES_CLIENT_IP_CALLABLE = "tenants.signin.lockout.address"
AXES_LOCKOUT_CALLABLE = "tenants.signin.lockout.refuse"
AXES_SENSITIVE_PARAMETERS = ["login", "email", "username", "password", "password1", "code"]
AXES_DISABLE_ACCESS_LOG = True
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False

# --- mail ---------------------------------------------------------------------------------

#: Such as smtp+tls://user:password@mail.example:587. Without it mails are files in the platform's folder.
vars().update(env.email_url("EMAIL_URL", default="filemail://"))
EMAIL_FILE_PATH = env.str("NAAS_MAIL_FOLDER", default=str(NAAS_VAR / "mail"))
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env.str("NAAS_MAIL_FROM", default="naas@localhost")

# --- what browsers are told -----------------------------------------------------------

#: Off only where the site is used as http://localhost: browsers keep secure cookies from plain HTTP.
SECURE_COOKIES = env.bool("NAAS_SECURE_COOKIES", default=not (DEBUG or TESTING))
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_COOKIES
SECURE_SSL_REDIRECT = env.bool("NAAS_SSL_REDIRECT", default=False)
SECURE_HSTS_SECONDS = 365 * 86400 if SECURE_COOKIES else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_COOKIES
if PROXIES_OF_OTHERS:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF, UNSAFE_INLINE],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        "object-src": [NONE],
    },
}
#: unfold's Alpine evaluates expressions, and its templates carry inline scripts; only staff ever see it.
NAAS_ADMIN_CSP = CONTENT_SECURITY_POLICY["DIRECTIVES"] | {"script-src": [SELF, UNSAFE_INLINE, UNSAFE_EVAL]}

#: Bytes of the largest request body that is read.
DATA_UPLOAD_MAX_MEMORY_SIZE = 2**20
DATA_UPLOAD_MAX_NUMBER_FIELDS = 1000

STATIC_URL = "/static/"
#: Front-end libraries, as `scripts/frontend.py` fetches them.
STATICFILES_DIRS = [folder for folder in [BASE_DIR / "static"] if folder.is_dir()]
STATIC_ROOT = None if TESTING else Path(env.str("NAAS_STATIC_ROOT", default=str(NAAS_VAR / "static")))
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG or TESTING
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}


def _pages(title: str, *pages: tuple[str, str, str]) -> dict[str, Any]:
    """A group of the console's sidebar: each page as title, icon and model."""
    items = [
        {"title": name, "icon": icon, "link": reverse_lazy(f"admin:{model}_changelist")} for name, icon, model in pages
    ]
    return {"title": title, "separator": True, "items": items}


UNFOLD = {
    "SITE_TITLE": "naas",
    "SITE_HEADER": "Provider console",
    "SITE_URL": None,
    "SITE_SYMBOL": "hub",
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda _request: static("console/icon.svg")},
    ],
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_BACK_BUTTON": True,
    "DASHBOARD_CALLBACK": "services.admin.dashboard.show",
    "SIDEBAR": {
        "show_search": False,
        "navigation": [
            {"title": "", "items": [{"title": "Overview", "icon": "dashboard", "link": reverse_lazy("admin:index")}]},
            _pages(
                "Business",
                ("Tenants", "apartment", "tenants_tenant"),
                ("Orders", "shopping_cart", "services_productorder"),
                ("Order items", "list_alt", "services_orderitem"),
                ("Offerings", "storefront", "services_offering"),
                ("Prices", "sell", "services_offeringsize"),
                ("Quotas", "speed", "tenants_quota"),
            ),
            _pages(
                "Network",
                ("PoPs", "location_on", "services_pop"),
                ("Transports", "cable", "services_transport"),
                ("Ports (UNIs)", "settings_ethernet", "services_uni"),
                ("Segments", "lan", "services_segment"),
                ("Prefixes", "data_array", "services_prefix"),
                ("Addresses", "tag", "services_address"),
            ),
            _pages(
                "Operation",
                ("Services", "router", "services_serviceinstance"),
                ("Deployments", "deployed_code", "services_deployment"),
                ("Steps", "footprint", "services_deploymentstep"),
                ("History", "history", "services_revision"),
                ("Events", "notifications", "services_serviceevent"),
                ("Certificates", "verified_user", "services_certificate"),
                ("Authority", "workspace_premium", "services_authority"),
                ("Looking glass", "search", "services_inquiry"),
            ),
            _pages(
                "Session borders",
                ("Trunks", "call_split", "sbc_trunk"),
                ("Routes", "alt_route", "sbc_route"),
                ("Source rules", "shield", "sbc_sourcerule"),
                ("Emergency numbers", "emergency", "sbc_emergency"),
                ("Tables", "sync", "sbc_tables"),
                ("Call records", "call_log", "sbc_callrecord"),
                ("Test calls", "verified", "sbc_testcall"),
            ),
            _pages(
                "Access",
                ("People", "person", "tenants_user"),
                ("Members", "group", "tenants_membership"),
                ("Invitations", "mail", "tenants_invitation"),
                ("Single sign-on", "login", "tenants_singlesignon"),
                ("Identities", "badge", "tenants_identity"),
                ("API tokens", "key", "tenants_apitoken"),
                ("Audit trail", "receipt_long", "tenants_auditevent"),
                ("Repeated requests", "repeat", "tenants_idempotencyrecord"),
            ),
        ],
    },
}

#: The sidebar of the portal: title, icon, section, and the name of the page.
NAAS_PORTAL_NAVIGATION = (
    ("Overview", "topology-star-3", "home", "home"),
    ("Services", "server", "services", "services"),
    ("Sites", "building", "sites", "sites"),
    ("Segments", "network", "segments", "segments"),
    ("Order", "plus", "order", "order-new"),
    ("Orders", "shopping-cart", "orders", "orders"),
    ("Team", "users", "team", "team"),
    ("API tokens", "key", "tokens", "tokens"),
    ("Audit trail", "file-text", "audit", "audit"),
    ("Settings", "settings", "settings", "settings"),
)
#: What the portal's search asks, each a function of `services.portal.search`'s kind.
NAAS_PORTAL_SEARCH = ("services.portal.search.pages", "services.portal.search.objects", "sbc.portal.search.objects")
#: Pages of these that not every member may see: they stand in the sidebar of who may.
NAAS_PORTAL_ROLES = {"order-new": "operator", "tokens": "owner", "audit": "operator"}
#: What the provider's own Prometheus shows at /metrics to see the samples of all tenants; empty: nobody does.
NAAS_PROMETHEUS_TOKEN = env.str("NAAS_PROMETHEUS_TOKEN", default="")
#: Tabs that services of a kind have besides those of all: title, icon, name of the page (see `services.portal.tabs`).
NAAS_SERVICE_TABS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "sbc": (
        ("At a glance", "phone-call", "sbc-overview"),
        ("Trunks", "building", "sbc-trunks"),
        ("Routes", "route", "sbc-routes"),
        ("Simulator", "help", "sbc-simulator"),
        ("Calls", "phone", "sbc-calls"),
        ("Records", "file-text", "sbc-records"),
        ("Quality", "chart-line", "sbc-quality"),
        ("Source rules", "shield", "sbc-sources"),
        ("Bans", "ban", "sbc-bans"),
        ("Test calls", "phone-call", "sbc-test-calls"),
        ("Certificate", "certificate", "sbc-certificate"),
    ),
}

# --- API ------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "tenants.api.authentication.TokenAuthentication",
        "tenants.api.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["tenants.api.permissions.ByRole"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["tenants.api.parsers.StrictJson"],
    "DEFAULT_PAGINATION_CLASS": "tenants.api.pagination.Pages",
    "DEFAULT_FILTER_BACKENDS": ["tenants.api.filters.Filters", "tenants.api.filters.Ordering"],
    "DEFAULT_THROTTLE_CLASSES": ["tenants.api.throttling.PerCaller"],
    "DEFAULT_THROTTLE_RATES": {
        "caller": env.str("NAAS_RATE_CALLER", default="1200/min"),
        "stranger": env.str("NAAS_RATE_STRANGER", default="60/min"),
        "login": env.str("NAAS_RATE_LOGIN", default="20/min"),
    },
    "DEFAULT_SCHEMA_CLASS": "tenants.api.schema.Schema",
    "EXCEPTION_HANDLER": "tenants.api.problems.handle",
    "UNAUTHENTICATED_USER": None,
    "NUM_PROXIES": NAAS_TRUSTED_PROXIES,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "naas",
    "DESCRIPTION": "Order network services and look at what stands.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SERVE_AUTHENTICATION": [],
    "DEFAULT_QUERY_MANAGER": "_default_manager",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
    # Four fields are called `state`; the description needs a name for each.
    "ENUM_NAME_OVERRIDES": {
        "OrderState": [(state.value, state.value) for state in OrderState],
        "ServiceState": [(state.value, state.value) for state in ServiceState],
        "StepState": [(state.value, state.value) for state in StepState],
        "InquiryState": "services.models.Inquiry.State",
        # And three `action`.
        "OrderAction": "services.models.Action",
        "SourceAction": ["allow", "deny"],
        "HeaderAction": ["add", "remove", "replace"],
    },
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}

# --- the rest -------------------------------------------------------------------------

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True
#: Django takes the formats of its own language files before those of the settings.
FORMAT_MODULE_PATH = ["naas.formats"]

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"request_id": {"()": "tenants.logs.WithRequestId"}},
    "formatters": {"json": {"()": "tenants.logs.JsonLines"}},
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "formatter": "json", "filters": ["request_id"]},
    },
    "root": {"handlers": ["stderr"], "level": env.str("NAAS_LOG_LEVEL", default="INFO")},
    "loggers": {
        "django": {"level": "INFO"},
        "django.security.DisallowedHost": {"level": "CRITICAL"},
        "axes": {"level": "WARNING"},
    },
}
