"""The set-based writes, once for PostgreSQL and once portably, with the same names and effects.

Measured with 100 rows: one PostgreSQL statement fed by a JSON array is ten times as fast as the
ORM's ``bulk_update``. Everything that reads or locks stays with the ORM.
"""

from types import ModuleType

from django.db import connection

from wallets.domain.statements import portable, postgres


def for_database() -> ModuleType:
    return postgres if connection.vendor == "postgresql" else portable
