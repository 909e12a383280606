from django.db import connection, transaction
from rest_framework.request import Request

from wallets.api.answers import ok
from wallets.api.envelope import Envelope
from wallets.api.openapi.operations import health as documented
from wallets.api.texts import HEALTHY
from wallets.api.views.base import PublicView


class HealthView(PublicView):
    # Load balancers probe over plain HTTP.
    needs_https = False

    @documented
    def get(self, request: Request) -> Envelope:
        _ask_database()
        return ok({"database": "ok"}, HEALTHY)


def _ask_database() -> None:
    """Raises ``OperationalError`` when no answer comes within a second."""
    if connection.vendor == "postgresql":
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = 1000")
            cursor.execute("SELECT 1")
    else:
        # Not in a transaction, which would wait for the write lock. SQLite answers a bare
        # SELECT 1 without looking at its file.
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM sqlite_master LIMIT 1")
