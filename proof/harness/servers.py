"""Where proofs find PostgreSQL: ``DATABASE_URL`` if it names one, else a server of their own."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from proof.harness.databases import PostgresServer
from scripts.postgres import EmbeddedPostgres


@contextmanager
def postgres_server(scratch: Path) -> Iterator[PostgresServer]:
    given = os.environ.get("DATABASE_URL", "")
    if given.startswith("postgres"):
        server = PostgresServer(given, scratch)
        try:
            yield server
        finally:
            server.close()
        return
    # Durable, because a proof kills what a real machine would keep.
    with EmbeddedPostgres(durable=True) as postgres:
        yield PostgresServer(postgres.dsn, scratch)
