"""Whether the database still refuses what it must refuse."""

import re

from django.apps import apps
from django.db import connection

from wallets.domain.audit.report import Finding, Value

_APPEND_ONLY = (
    "wallets_ledgerentry",
    "wallets_statuschange",
    "wallets_bankcall",
    "wallets_resolution",
    "wallets_payoutpause",
    "wallets_planrequest",
    "wallets_bulkrequest",
)
_GUARDED = ("wallets_transaction", "wallets_wallet")
_TABLES = (*_APPEND_ONLY, *_GUARDED, "wallets_bankgate")

# A trigger that is disabled, or made to call something else, guards nothing. 'O' and 'A' are the
# states in which it fires for an ordinary session.
_POSTGRES_TRIGGERS = """
    SELECT c.relname, t.tgname
    FROM pg_trigger t
    JOIN pg_class c ON c.oid = t.tgrelid
    JOIN pg_proc p ON p.oid = t.tgfoid
    WHERE c.relname = ANY(%s) AND pg_table_is_visible(c.oid)
      AND t.tgenabled IN ('O', 'A') AND p.proname IN ('wallets_refuse', 'wallets_check_return')
"""
_SQLITE_TRIGGERS = "SELECT tbl_name, name FROM sqlite_master WHERE type = 'trigger'"

_POSTGRES_CONSTRAINTS = """
    SELECT c.relname, k.conname FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
    WHERE pg_table_is_visible(c.oid) AND k.convalidated
    UNION ALL
    SELECT c.relname, i.relname
    FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class c ON c.oid = x.indrelid
    WHERE pg_table_is_visible(c.oid) AND x.indisunique AND x.indisvalid
"""
_SQLITE_DEFINITIONS = "SELECT tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL"
# In a table's own definition, or as an index where the constraint has a condition.
_SQLITE_CONSTRAINT = re.compile(r'(?:CONSTRAINT|UNIQUE INDEX) "(\w+)"')


def expected_triggers() -> list[tuple[str, str]]:
    """Table and trigger. SQLite has no TRUNCATE to guard against."""
    kinds = ["no_delete"]
    if connection.vendor == "postgresql":
        kinds.append("no_truncate")
    return [
        *((table, f"{table}_no_update") for table in _APPEND_ONLY),
        *((table, f"{table}_no_rewrite") for table in _GUARDED),
        *((table, f"{table}_{kind}") for table in _TABLES for kind in kinds),
        ("wallets_transaction", "wallets_transaction_return_fits"),
    ]


def check_triggers(limit: int) -> Finding:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(_POSTGRES_TRIGGERS, [list(_TABLES)])
        else:
            cursor.execute(_SQLITE_TRIGGERS)
        present = set(cursor.fetchall())
    expected = expected_triggers()
    return _finding(
        "triggers_present",
        "The triggers that keep history from being rewritten exist and are enabled.",
        "triggers",
        expected,
        [each for each in expected if each not in present],
        limit,
    )


def check_constraints(limit: int) -> Finding:
    expected = [
        (model._meta.db_table, constraint.name)
        for model in apps.get_app_config("wallets").get_models()
        for constraint in model._meta.constraints
    ]
    present = _constraints()
    return _finding(
        "constraints_present",
        "The constraints that the models declare exist in this database.",
        "constraints",
        expected,
        [each for each in expected if each not in present],
        limit,
    )


def _constraints() -> set[tuple[str, str]]:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(_POSTGRES_CONSTRAINTS)
            return set(cursor.fetchall())
        cursor.execute(_SQLITE_DEFINITIONS)
        return {
            (table, name)
            for table, definition in cursor.fetchall()
            for name in _SQLITE_CONSTRAINT.findall(definition)
        }


def _finding(
    rule: str,
    sentence: str,
    counted: str,
    expected: list[tuple[str, str]],
    missing: list[tuple[str, str]],
    limit: int,
) -> Finding:
    shown: list[dict[str, Value]] = [
        {"table": table, counted.removesuffix("s"): name} for table, name in missing
    ]
    return Finding(
        rule=rule,
        sentence=sentence,
        counts={counted: len(expected)},
        violations=len(missing),
        shown=tuple(shown[:limit]),
    )
