"""What the numbers were measured on."""

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

import psycopg2

from bench.lab import ROOT

_PACKAGES = ("Django", "djangorestframework", "psycopg2-binary", "requests", "urllib3", "gunicorn")
_SERVER_SETTINGS = (
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "wal_sync_method",
    "shared_buffers",
    "max_wal_size",
)


def describe(admin_url: str) -> dict[str, str]:
    connection = psycopg2.connect(admin_url)
    with connection.cursor() as cursor:
        cursor.execute("SELECT version()")
        version = cursor.fetchone()[0].split(" on ")[0]
        cursor.execute(
            "SELECT string_agg(name || '=' || current_setting(name), ', ') FROM unnest(%s) AS name",
            (list(_SERVER_SETTINGS),),
        )
        settings = cursor.fetchone()[0]
    connection.close()
    return {
        "Processor": f"{_processor()}, {os.cpu_count()} cores",
        "Memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "System": f"{platform.system()} {platform.release()}",
        "PostgreSQL": version,
        "PostgreSQL settings": settings,
        "Python": platform.python_version(),
        "Packages": ", ".join(f"{name} {metadata.version(name)}" for name in _PACKAGES),
        "Commit": _commit(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _commit() -> str:
    def git(*arguments: str) -> str:
        said = subprocess.run(
            ["git", *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        return said.stdout.strip()

    commit = git("rev-parse", "--short=12", "HEAD")
    if not commit:
        return "not a git checkout"
    changed = git("status", "--porcelain", "--untracked-files=no")
    return f"{commit} with local changes" if changed else commit
