"""A statement as CSV, made while it is sent."""

import csv
from collections.abc import Iterator
from io import StringIO
from itertools import islice

from django.http import StreamingHttpResponse

from wallets.api.times import written
from wallets.domain.past import Line, Statement

COLUMNS = ("id", "at", "kind", "transaction_id", "amount", "balance_after", "currency")
_LINES_A_CHUNK = 500

Row = tuple[object, ...]


def csv_response(statement: Statement) -> StreamingHttpResponse:
    response = StreamingHttpResponse(
        _chunks(_rows(statement)), content_type="text/csv; charset=utf-8"
    )
    name = f"statement-{statement.wallet.pk}.csv"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    response.headers["Cache-Control"] = "no-store"
    return response


def _rows(statement: Statement) -> Iterator[Row]:
    """What broke off on its way has no closing line."""
    currency = statement.wallet.currency
    yield COLUMNS
    yield _balance("opening", written(statement.since), statement.opening_balance, currency)
    for line in statement.every_line():
        yield _row(line, currency)
    yield _balance("closing", written(statement.until), statement.closing_balance, currency)


def _balance(kind: str, at: str, balance: int, currency: str) -> Row:
    return ("", at, kind, "", "", balance, currency)


def _row(line: Line, currency: str) -> Row:
    return (
        line.id,
        written(line.at),
        line.kind,
        line.transaction_id,
        line.amount,
        line.balance_after,
        currency,
    )


def _chunks(rows: Iterator[Row]) -> Iterator[str]:
    while chunk := list(islice(rows, _LINES_A_CHUNK)):
        text = StringIO()
        csv.writer(text).writerows(chunk)
        yield text.getvalue()
