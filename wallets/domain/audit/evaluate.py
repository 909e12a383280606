"""Run a rule's SQL and count what it says."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connection

from wallets.domain.audit.report import Finding, Value
from wallets.domain.audit.rules import SqlRule


class ExactSum:
    """SQLite's own ``sum`` raises an error past 64 bits; this one goes on, and answers in text."""

    def __init__(self) -> None:
        self.total = 0

    def step(self, value: Any) -> None:
        # Text and fractions in a money column are another rule's finding.
        if isinstance(value, int):
            self.total += value
        elif isinstance(value, str) and value.lstrip("-").isdecimal():
            self.total += int(value)

    def finalize(self) -> int | str:
        fits = -(2**63) <= self.total < 2**63
        return self.total if fits else str(self.total)


def evaluate(rule: SqlRule, limit: int) -> Finding:
    """One pass that counts; a second one, for the first ``limit`` violations, only if any."""
    totals = _select(_totals_sql(rule), rule.params)
    counts, sums, violations = 0, {}, 0
    for row in totals:
        counts += int(row["counted"])
        violations += int(row["violations"])
        if rule.sums:
            sums[row["currency"]] = {name: int(row[name] or 0) for name in rule.sums}
    shown: list[dict[str, Any]] = []
    if violations and limit:
        shown = _select(_violations_sql(rule, limit), rule.params)
    return Finding(
        rule=rule.name,
        sentence=rule.sentence,
        counts={rule.counted: counts},
        sums=sums,
        violations=violations,
        shown=tuple({name: _readable(value) for name, value in row.items()} for row in shown),
    )


def _totals_sql(rule: SqlRule) -> str:
    columns = "".join(f"exact_sum({name}) AS {name}, " for name in rule.sums)
    currency, by = ("currency", "GROUP BY currency") if rule.currency else ("''", "")
    return _assemble(
        f"{currency} AS currency, {columns} count(*) AS counted,"
        " count(*) FILTER (WHERE broken IS NOT FALSE) AS violations",
        rule,
        by,
    )


def _violations_sql(rule: SqlRule, limit: int) -> str:
    facts = ", ".join(rule.facts)
    tail = f"WHERE broken IS NOT FALSE ORDER BY {facts} LIMIT {limit:d}"
    return _assemble(facts, rule, tail)


def _assemble(columns: str, rule: SqlRule, tail: str) -> str:
    return f"SELECT {columns} FROM ({rule.rows}) checked {tail}"  # noqa: S608 - all of it ours


def _select(sql: str, params: Mapping[str, str]) -> list[dict[str, Any]]:
    if connection.vendor == "postgresql":
        sql = sql.replace("exact_sum(", "sum(")  # there it is exact: numeric
    else:
        connection.ensure_connection()
        connection.connection.create_aggregate("exact_sum", 1, ExactSum)
    with connection.cursor() as cursor:
        cursor.execute(sql, params or None)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _readable(value: Any) -> Value:
    if isinstance(value, Decimal):
        return int(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if value is None or isinstance(value, int | float | str | bool):
        return value
    return str(value)
