"""The database, from ``DATABASE_URL``, from ``DB_*``, or SQLite for local development."""

import os
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import dj_database_url
from django.core.exceptions import ImproperlyConfigured

from wallet import env

# WAL lets readers work beside the one writer. FULL makes a commit survive a power cut: a lost
# claim would restore a balance whose payout the bank has already made. Recursive triggers let the
# append-only triggers see the delete that hides in INSERT OR REPLACE.
_SQLITE_PRAGMAS = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA recursive_triggers=ON;"


def database(base_dir: Path, *, debug: bool) -> dict[str, Any]:
    url = env.text("DATABASE_URL")
    name = env.text("DB_NAME")
    if url:
        config = _from_url(url)
    elif name:
        config = _from_parts(name)
    elif debug:
        config = {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": str(base_dir / "db.sqlite3"),
        }
    else:
        raise ImproperlyConfigured("With DEBUG=False, set DATABASE_URL or DB_NAME.")

    if config["ENGINE"].endswith("sqlite3"):
        return config | _sqlite_options()
    if config["ENGINE"].endswith("postgresql"):
        return config | _postgres_options(config.get("OPTIONS", {}))
    raise ImproperlyConfigured("DATABASE_URL accepts postgres:// and sqlite:// URLs only.")


def _from_url(url: str) -> dict[str, Any]:
    try:
        return dict(dj_database_url.parse(url))
    except (ValueError, KeyError) as error:
        raise ImproperlyConfigured(
            "DATABASE_URL is not usable: it accepts postgres://user:password@host:port/name "
            "or sqlite:///path."
        ) from error


def _from_parts(name: str) -> dict[str, Any]:
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": name,
        "USER": env.text("DB_USER"),
        "PASSWORD": env.text("DB_PASSWORD"),
        "HOST": env.text("DB_HOST", "127.0.0.1"),
        "PORT": str(env.integer("DB_PORT", 5432, minimum=1, maximum=65535)),
    }


def _postgres_options(given: dict[str, Any]) -> dict[str, Any]:
    statement_ms = env.integer("DB_STATEMENT_TIMEOUT_MS", 15_000, minimum=100, maximum=3_600_000)
    lock_ms = env.integer("DB_LOCK_TIMEOUT_MS", 5_000, minimum=100, maximum=600_000)
    idle_ms = env.integer("DB_IDLE_TRANSACTION_TIMEOUT_MS", 30_000, minimum=100, maximum=3_600_000)
    return {
        "ENGINE": "wallet.postgresql",
        # A connection per request was measured to cost two thirds of the deposit rate.
        "CONN_MAX_AGE": env.integer("DB_CONN_MAX_AGE_SECONDS", 600, minimum=0, maximum=86_400),
        "CONN_HEALTH_CHECKS": True,
        # Also turns off prepared statements (wallets.domain.statements.prepared).
        "DISABLE_SERVER_SIDE_CURSORS": env.flag("DB_TRANSACTION_POOLER", False),
        "OPTIONS": {
            "connect_timeout": 5,
            # Milliseconds until a server that vanished without a word is given up. No statement
            # may take longer, so no answer is missed; without it a commit could wait for hours.
            "tcp_user_timeout": max(30_000, statement_ms + 5_000),
            "application_name": "wallet",
            "options": (
                f"-c statement_timeout={statement_ms} -c lock_timeout={lock_ms} "
                f"-c idle_in_transaction_session_timeout={idle_ms}"
            ),
            **given,
        },
    }


def _sqlite_options() -> dict[str, Any]:
    busy = env.integer("SQLITE_BUSY_TIMEOUT_SECONDS", 20, minimum=1, maximum=600)
    return {
        "OPTIONS": {
            # IMMEDIATE takes the write lock at BEGIN. A deferred transaction that upgrades later
            # fails at once with "database is locked", whatever the busy timeout.
            "transaction_mode": "IMMEDIATE",
            "timeout": busy,
            "init_command": _SQLITE_PRAGMAS,
        },
        # A file, because threads and processes of a test share it; one for each test run.
        "TEST": {"NAME": str(Path(gettempdir()) / f"wallet-test-{os.getpid()}.sqlite3")},
    }
