"""Project settings. Every knob is declared once, here, and listed in ``.env.sample``."""

from pathlib import Path

from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _
from dotenv import load_dotenv

from wallet import env
from wallet.databases import database

BASE_DIR = Path(__file__).resolve().parent.parent
load_dotenv(BASE_DIR / ".env")

# --- Process -------------------------------------------------------------------------------------

DEBUG = env.flag("DEBUG", True)
SECRET_KEY = env.text("DJANGO_SECRET_KEY")
ALLOWED_HOSTS = env.names("ALLOWED_HOSTS")

if not DEBUG:
    if not SECRET_KEY:
        raise ImproperlyConfigured("With DEBUG=False, set DJANGO_SECRET_KEY.")
    if not ALLOWED_HOSTS:
        raise ImproperlyConfigured("With DEBUG=False, set ALLOWED_HOSTS (comma-separated).")
SECRET_KEY = SECRET_KEY or "development-only-key-that-protects-nothing-and-is-refused-without-debug"

DATABASES = {"default": database(BASE_DIR, debug=DEBUG)}

INSTALLED_APPS = [
    # Before the admin, whose templates it extends.
    "wallets",
    "wallets.logins.apps.LoginsConfig",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
]

# The API has its own errors, and no use for sessions, cookies or forms: the Site* classes are
# Django's, stepping aside for it.
MIDDLEWARE = [
    # These two before what makes answers of its own, which need their headers as well.
    "wallet.security_headers.SecurityHeadersMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "wallets.api.middleware.EnvelopeMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "wallets.api.middleware.SiteSessionMiddleware",
    "wallets.api.middleware.SiteLocaleMiddleware",
    "wallets.api.middleware.SiteCommonMiddleware",
    # By its own name, by which the deployment check looks for it. Views of DRF are exempt.
    "django.middleware.csrf.CsrfViewMiddleware",
    "wallets.api.middleware.SiteAuthenticationMiddleware",
    "wallets.api.middleware.SiteMessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "wallet.urls"
WSGI_APPLICATION = "wallet.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
TEST_RUNNER = "wallets.tests.runner.LedgerTestRunner"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [],
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

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]

# --- Language and time ---------------------------------------------------------------------------

LANGUAGE_CODE = env.choice("LANGUAGE_CODE", "en", ["en", "fa"])
LANGUAGES = [("en", _("English")), ("fa", _("Persian"))]
LOCALE_PATHS = [BASE_DIR / "wallets" / "locale"]
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"
# Times are stored and answered in UTC; only the admin shows them in the operator's zone.
ADMIN_TIME_ZONE = env.text("ADMIN_TIME_ZONE", "Asia/Tehran")

# --- Static files --------------------------------------------------------------------------------

STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": (
            "django.contrib.staticfiles.storage.StaticFilesStorage"
            if DEBUG
            else "whitenoise.storage.CompressedStaticFilesStorage"
        )
    },
}
# Without collectstatic the admin and the API documentation still find their files.
WHITENOISE_USE_FINDERS = True

# --- Transport security --------------------------------------------------------------------------

# A redirected POST arrives as a GET, so redirecting is left to the proxy that ends TLS, unless
# asked for; the deployment check for it (security.W008) is silenced for that reason.
SECURE_SSL_REDIRECT = env.flag("SECURE_SSL_REDIRECT", False)
# The API refuses plain HTTP by itself then, in its envelope.
SECURE_REDIRECT_EXEMPT = [r"^api(/|$)", r"^health(/|$)"]
SILENCED_SYSTEM_CHECKS = ["security.W008"]
SECURE_HSTS_SECONDS = env.integer(
    "SECURE_HSTS_SECONDS", 0 if DEBUG else 31_536_000, minimum=0, maximum=63_072_000
)
SECURE_HSTS_INCLUDE_SUBDOMAINS = not DEBUG
SECURE_HSTS_PRELOAD = not DEBUG
SESSION_COOKIE_SECURE = not DEBUG
CSRF_COOKIE_SECURE = not DEBUG
CSRF_TRUSTED_ORIGINS = env.names("CSRF_TRUSTED_ORIGINS")
X_FRAME_OPTIONS = "DENY"
if env.flag("TRUST_X_FORWARDED_PROTO", False):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
# Whether a proxy of ours appends the client's address to X-Forwarded-For.
TRUST_X_FORWARDED_FOR = env.flag("TRUST_X_FORWARDED_FOR", False)
# Longest request body, in bytes.
DATA_UPLOAD_MAX_MEMORY_SIZE = env.integer(
    "MAX_REQUEST_BYTES", 524_288, minimum=1_024, maximum=16_777_216
)

# --- Wallets -------------------------------------------------------------------------------------

WALLET_DEFAULT_CURRENCY = env.text("WALLET_DEFAULT_CURRENCY", "IRR")  # ISO 4217

# Limits in minor units; 0 means none. A day is a day in UTC, of the time a withdrawal is due.
WALLET_MAX_BALANCE = env.integer("WALLET_MAX_BALANCE", 0, minimum=0, maximum=2**63 - 1)
WITHDRAWAL_MAX_AMOUNT = env.integer("WITHDRAWAL_MAX_AMOUNT", 0, minimum=0, maximum=2**63 - 1)
WITHDRAWAL_MAX_PER_DAY = env.integer("WITHDRAWAL_MAX_PER_DAY", 0, minimum=0, maximum=2**63 - 1)

# --- Bank ----------------------------------------------------------------------------------------

BANK_BASE_URL = env.text("BANK_BASE_URL", "http://127.0.0.1:8010").rstrip("/")
# Path that tells what became of a key; set but empty means the bank has no such thing.
BANK_INQUIRY_PATH = env.optional_path("BANK_INQUIRY_PATH", "/transfers/{idempotency_key}")
# Seconds one try may take in all: connecting, waiting, reading.
BANK_TIMEOUT = env.decimal("BANK_TIMEOUT", 3.0, minimum=0.05, maximum=120)
# Further tries after the first.
BANK_RETRY_COUNT = env.integer("BANK_RETRY_COUNT", 2, minimum=0, maximum=10)
BANK_IDEMPOTENCY = env.choice("BANK_IDEMPOTENCY", "full", ["full", "success_only", "none"])
BANK_BACKOFF_BASE_SECONDS = env.decimal("BANK_BACKOFF_BASE_SECONDS", 0.1, minimum=0, maximum=60)
# Longest wait between two tries of one call; a longer Retry-After hands the row back.
BANK_BACKOFF_CAP_SECONDS = env.decimal("BANK_BACKOFF_CAP_SECONDS", 2.0, minimum=0, maximum=60)
# Longest pause of the whole fleet that a Retry-After can ask for.
BANK_RETRY_AFTER_CAP_SECONDS = env.decimal(
    "BANK_RETRY_AFTER_CAP_SECONDS", 60.0, minimum=0, maximum=3_600
)
BANK_NOT_FOUND_GRACE_SECONDS = env.decimal(
    "BANK_NOT_FOUND_GRACE_SECONDS", 60.0, minimum=0, maximum=86_400
)
# How long the bank remembers a key, counted from the first send.
BANK_KEY_RETENTION_SECONDS = env.integer(
    "BANK_KEY_RETENTION_SECONDS", 86_400, minimum=1, maximum=31_536_000
)
# Shortest and longest pause before an unsettled withdrawal is asked about again.
BANK_INQUIRY_MIN_SECONDS = env.decimal("BANK_INQUIRY_MIN_SECONDS", 2.0, minimum=0.05, maximum=3_600)
BANK_INQUIRY_MAX_SECONDS = env.decimal(
    "BANK_INQUIRY_MAX_SECONDS", 900.0, minimum=0.05, maximum=86_400
)
# Requests a second of all executors together; 0 means no limit.
BANK_MAX_RPS = env.decimal("BANK_MAX_RPS", 0.0, minimum=0, maximum=100_000)
BANK_BREAKER_FAILURES = env.integer("BANK_BREAKER_FAILURES", 10, minimum=1, maximum=100_000)
BANK_BREAKER_COOLDOWN_SECONDS = env.decimal(
    "BANK_BREAKER_COOLDOWN_SECONDS", 30.0, minimum=0.05, maximum=86_400
)

# --- Executor ------------------------------------------------------------------------------------

# The lease: a PROCESSING withdrawal whose worker has been silent for so long is taken over.
WITHDRAWAL_PROCESSING_STALE_SECONDS = env.decimal(
    "WITHDRAWAL_PROCESSING_STALE_SECONDS", 30.0, minimum=0.1, maximum=86_400
)
# Bank calls at once in one executor.
EXECUTOR_CONCURRENCY = env.integer("EXECUTOR_CONCURRENCY", 16, minimum=1, maximum=1_000)
# For proofs only: where an executor is to die. See wallets/tasks/crash_points.py.
EXECUTOR_CRASH_AT = env.text("EXECUTOR_CRASH_AT")
WALLET_LOG_LEVEL = env.choice(
    "WALLET_LOG_LEVEL", "INFO", ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
)

# --- Operators -----------------------------------------------------------------------------------

# Whether two different people must say what became of a withdrawal in doubt.
RESOLVE_REQUIRES_TWO = env.flag("RESOLVE_REQUIRES_TWO", not DEBUG)

# Failed logins to the admin of a name from an address in so many seconds, and all names from a
# public address, or a name from everywhere, ten times as many. See wallets/logins/throttle.py.
ADMIN_LOGIN_FAILURES = env.integer("ADMIN_LOGIN_FAILURES", 5, minimum=1, maximum=10_000)
ADMIN_LOGIN_WINDOW_SECONDS = env.integer(
    "ADMIN_LOGIN_WINDOW_SECONDS", 900, minimum=1, maximum=86_400
)

# --- API -----------------------------------------------------------------------------------------

# Whether every request needs a key. Without one a request is nobody's and reaches every wallet.
API_AUTH_REQUIRED = env.flag("API_AUTH_REQUIRED", not DEBUG)

# Requests a minute of one key, over all server processes; 0 means no limit.
API_RATE_LIMIT_PER_MINUTE = env.integer(
    "API_RATE_LIMIT_PER_MINUTE", 0, minimum=0, maximum=100_000_000
)
# Whether requests pass uncounted when they cannot be counted; else they get 503.
API_RATE_LIMIT_FAILS_OPEN = env.flag("API_RATE_LIMIT_FAILS_OPEN", False)

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["wallets.api.authentication.ApiKeyAuthentication"],
    "DEFAULT_THROTTLE_CLASSES": ["wallets.api.throttling.KeyThrottle"],
    "DEFAULT_PERMISSION_CLASSES": ["wallets.api.authentication.HasScope"],
    "DEFAULT_PARSER_CLASSES": ["wallets.api.parsers.StrictJSONParser"],
    # Answers are rendered by wallets.api.envelope; this one only names the media type.
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "wallets.api.negotiation.AlwaysTheSame",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "wallets.api.errors.exception_handler",
    "UNAUTHENTICATED_USER": None,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Wallet Service",
    "DESCRIPTION": "Wallets, deposits and scheduled withdrawals in integer minor units.",
    "VERSION": "1.0.0",
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SERVE_INCLUDE_SCHEMA": False,
    "POSTPROCESSING_HOOKS": ["wallets.api.openapi.schemas.add_components"],
}

# --- Logging -------------------------------------------------------------------------------------

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "wallet.logs.JsonFormatter"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {
        "wallets": {
            "handlers": ["stderr"],
            "level": WALLET_LOG_LEVEL,
            "propagate": False,
        },
    },
}
