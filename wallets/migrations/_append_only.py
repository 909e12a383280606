"""Database triggers that keep history from being rewritten, for PostgreSQL and SQLite.

``install`` may run again at any time, and has to run at the end of every later migration that
alters one of these tables: SQLite alters a table by building a new one, which loses its triggers.
It guards what exists by then: the migrations before the last one know fewer tables and columns.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_APPEND_ONLY = (
    "wallets_ledgerentry",
    "wallets_statuschange",
    "wallets_bankcall",
    "wallets_resolution",
    "wallets_payoutpause",
    "wallets_planrequest",
    "wallets_bulkrequest",
)
_NEVER_DELETED = (*_APPEND_ONLY, "wallets_transaction", "wallets_wallet", "wallets_bankgate")

# True when an UPDATE would rewrite what has been settled. ``{differs}`` is the database's
# null-safe "is different".
_TRANSACTION_REWRITTEN = """
    OLD.status IN ('SUCCEEDED', 'FAILED', 'CANCELLED')
    OR (OLD.status = 'SCHEDULED' AND NEW.status = 'SUCCEEDED')
    OR (OLD.status <> 'SCHEDULED' AND NEW.status = 'CANCELLED')
    OR (OLD.status = 'PROCESSING' AND NEW.status = 'SCHEDULED')
    OR OLD.id {differs} NEW.id
    OR OLD.wallet_id {differs} NEW.wallet_id
    OR OLD.type {differs} NEW.type
    OR OLD.amount {differs} NEW.amount
    OR OLD.idempotency_key {differs} NEW.idempotency_key
    OR OLD.request_key {differs} NEW.request_key
    OR OLD.request_fingerprint {differs} NEW.request_fingerprint
    OR OLD.created_at {differs} NEW.created_at
    OR (OLD.status <> 'SCHEDULED' AND OLD.execute_at {differs} NEW.execute_at)
    OR NEW.epoch < OLD.epoch
    OR (OLD.maybe_sent AND NOT NEW.maybe_sent)
"""
_WALLET_REWRITTEN = """
    OLD.id {differs} NEW.id
    OR OLD.uuid {differs} NEW.uuid
    OR OLD.currency {differs} NEW.currency
    OR OLD.request_key {differs} NEW.request_key
    OR OLD.request_fingerprint {differs} NEW.request_fingerprint
    OR OLD.created_at {differs} NEW.created_at
"""
# Wallets that were nobody's may be given to an account, once.
_TENANT_REWRITTEN = "OR (OLD.tenant_id IS NOT NULL AND OLD.tenant_id {differs} NEW.tenant_id)"


# A return credits exactly what one withdrawal of the same wallet paid out.
_RETURN_TRIGGER = ("wallets_transaction", "wallets_transaction_return_fits")
_RETURN_REFUSED = "a return must equal a withdrawal of its wallet that has succeeded"
_RETURNED = """
    SELECT 1 FROM wallets_transaction w
    WHERE w.id = NEW.returned_withdrawal_id AND w.type = 'WITHDRAWAL' AND w.status = 'SUCCEEDED'
      AND w.amount = NEW.amount AND w.wallet_id = NEW.wallet_id
"""


_GUARDED = ("wallets_transaction", "wallets_wallet")


@dataclass(frozen=True)
class _Exists:
    tables: frozenset[str]
    returns: bool  # transactions can be returns
    tenants: bool  # wallets can be an account's

    def rewritten(self) -> Iterator[tuple[str, str]]:
        """The guarded tables, and when an UPDATE of them is refused."""
        yield "wallets_transaction", _TRANSACTION_REWRITTEN
        yield "wallets_wallet", _WALLET_REWRITTEN + (_TENANT_REWRITTEN if self.tenants else "")


def install(apps: Any, schema_editor: Any) -> None:
    remove(apps, schema_editor)
    exists = _what_exists(schema_editor.connection)
    if schema_editor.connection.vendor == "postgresql":
        statements = _postgres(exists)
    else:
        statements = _sqlite(exists)
    for statement in statements:
        schema_editor.execute(statement, params=None)


def remove(apps: Any, schema_editor: Any) -> None:
    on_table = schema_editor.connection.vendor == "postgresql"
    exists = _what_exists(schema_editor.connection)
    for table, trigger in _names():
        if table in exists.tables:
            where = f" ON {table}" if on_table else ""
            schema_editor.execute(f"DROP TRIGGER IF EXISTS {trigger}{where}", params=None)


def _what_exists(connection: Any) -> _Exists:
    with connection.cursor() as cursor:

        def has(table: str, name: str) -> bool:
            columns = connection.introspection.get_table_description(cursor, table)
            return any(column.name == name for column in columns)

        return _Exists(
            tables=frozenset(connection.introspection.table_names(cursor)),
            returns=has("wallets_transaction", "returned_withdrawal_id"),
            tenants=has("wallets_wallet", "tenant_id"),
        )


def _names() -> list[tuple[str, str]]:
    return (
        [(table, f"{table}_no_update") for table in _APPEND_ONLY]
        + [(table, f"{table}_no_delete") for table in _NEVER_DELETED]
        + [(table, f"{table}_no_truncate") for table in _NEVER_DELETED]
        + [(table, f"{table}_no_rewrite") for table in _GUARDED]
        + [_RETURN_TRIGGER]
    )


def _postgres(exists: _Exists) -> list[str]:
    refuse = "EXECUTE FUNCTION wallets_refuse()"
    statements = [
        """
        CREATE OR REPLACE FUNCTION wallets_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION '% on % is refused: history is append-only', TG_OP, TG_TABLE_NAME
                USING ERRCODE = 'integrity_constraint_violation';
        END $$
        """,
        *(
            f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} FOR EACH ROW {refuse}"
            for table in _APPEND_ONLY
            if table in exists.tables
        ),
        *(
            f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} FOR EACH ROW {refuse}"
            for table in _NEVER_DELETED
            if table in exists.tables
        ),
        *(
            f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} "
            f"FOR EACH STATEMENT {refuse}"
            for table in _NEVER_DELETED
            if table in exists.tables
        ),
        # The condition is in WHEN, so a legal update never enters the function.
        *(
            f"CREATE TRIGGER {table}_no_rewrite BEFORE UPDATE ON {table} FOR EACH ROW "
            f"WHEN ({condition.format(differs='IS DISTINCT FROM')}) {refuse}"
            for table, condition in exists.rewritten()
        ),
    ]
    return [*statements, *_return_on_postgres()] if exists.returns else statements


def _return_on_postgres() -> list[str]:
    table, trigger = _RETURN_TRIGGER
    return [
        f"""
        CREATE OR REPLACE FUNCTION wallets_check_return() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NOT EXISTS ({_RETURNED}) THEN
                RAISE EXCEPTION '{_RETURN_REFUSED}'
                    USING ERRCODE = 'integrity_constraint_violation';
            END IF;
            RETURN NEW;
        END $$
        """,
        f"CREATE TRIGGER {trigger} BEFORE INSERT ON {table} FOR EACH ROW "
        "WHEN (NEW.returned_withdrawal_id IS NOT NULL) EXECUTE FUNCTION wallets_check_return()",
    ]


def _sqlite(exists: _Exists) -> list[str]:
    def refuse(operation: str, table: str) -> str:
        text = f"{operation} on {table} is refused: history is append-only"
        return f"BEGIN SELECT RAISE(ABORT, '{text}'); END"

    statements = [
        *(
            f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} {refuse('UPDATE', table)}"
            for table in _APPEND_ONLY
            if table in exists.tables
        ),
        *(
            f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} {refuse('DELETE', table)}"
            for table in _NEVER_DELETED
            if table in exists.tables
        ),
        *(
            f"CREATE TRIGGER {table}_no_rewrite BEFORE UPDATE ON {table} "
            f"WHEN ({condition.format(differs='IS NOT')}) {refuse('UPDATE', table)}"
            for table, condition in exists.rewritten()
        ),
    ]
    return [*statements, _return_on_sqlite()] if exists.returns else statements


def _return_on_sqlite() -> str:
    table, trigger = _RETURN_TRIGGER
    return (
        f"CREATE TRIGGER {trigger} BEFORE INSERT ON {table} "
        f"WHEN NEW.returned_withdrawal_id IS NOT NULL AND NOT EXISTS ({_RETURNED}) "
        f"BEGIN SELECT RAISE(ABORT, '{_RETURN_REFUSED}'); END"
    )
