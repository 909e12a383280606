"""A test that runs real processes on databases of its own, beside Django's test database."""

import os
import shutil
import tempfile
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

from django.db import connection
from django.test import SimpleTestCase

from proof.harness.databases import PostgresServer, Server, SqliteServer


class ProofCase(SimpleTestCase):
    server: ClassVar[Server]
    scratch: ClassVar[Path]
    # PROOF_FULL=1 runs everything at the size of a release's proof.
    full: ClassVar[bool] = os.environ.get("PROOF_FULL", "") == "1"
    seed: ClassVar[int] = int(os.environ.get("PROOF_SEED", "7"))

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.scratch = Path(tempfile.mkdtemp(prefix="wallet-proof-"))
        cls.addClassCleanup(shutil.rmtree, cls.scratch, ignore_errors=True)
        cls.server = _server(cls.scratch)
        cls.addClassCleanup(cls.server.close)


def _server(scratch: Path) -> Server:
    """On the server that holds the test database, or, for SQLite, in files."""
    if connection.vendor != "postgresql":
        return SqliteServer(scratch)
    settings = connection.settings_dict
    user = quote(settings["USER"] or "postgres", safe="")
    password = f":{quote(settings['PASSWORD'], safe='')}" if settings["PASSWORD"] else ""
    place = f"{settings['HOST'] or '127.0.0.1'}:{settings['PORT'] or 5432}"
    return PostgresServer(f"postgres://{user}{password}@{place}/{settings['NAME']}", scratch)
