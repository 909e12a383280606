"""What the bank paid, as pages of JSON and as a statement in CSV."""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import parse_qsl

from bank.book import Book
from bank.payments import InvalidError

PAGE, MAX_PAGE = 1_000, 10_000
COLUMNS = ("key", "reference", "amount", "currency", "paid_at")
_NUMBER = re.compile("[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class LedgerQuery:
    after: int = 0
    limit: int | None = None
    key: str | None = None
    as_csv: bool = False


def read_ledger_query(query: str) -> LedgerQuery:
    """Raises ``InvalidError``."""
    fields = read_query(query, known=frozenset({"after", "limit", "key", "format"}))
    form = fields.get("format", "json")
    if form not in ("json", "csv"):
        raise InvalidError("format must be json or csv")
    limit = _number(fields, "limit")
    if limit is not None and limit > MAX_PAGE and form == "json":
        raise InvalidError(f"limit must be at most {MAX_PAGE}")
    return LedgerQuery(_number(fields, "after") or 0, limit, fields.get("key"), form == "csv")


def read_query(query: str, *, known: frozenset[str]) -> dict[str, str]:
    """Raises ``InvalidError`` for a name that is unknown or comes twice."""
    try:
        pairs = parse_qsl(
            query, keep_blank_values=True, strict_parsing=bool(query), errors="strict"
        )
    except ValueError as error:
        raise InvalidError("the query cannot be read") from error
    fields = dict(pairs)
    if len(fields) != len(pairs) or not fields.keys() <= known:
        raise InvalidError(f"the query takes each of {', '.join(sorted(known))} once")
    return fields


def json_page(book: Book, query: LedgerQuery) -> dict[str, Any]:
    """``next`` is what to give as ``after`` for the next page; None when there is none."""
    limit = PAGE if query.limit is None else query.limit
    entries = book.entries(after=query.after, limit=limit + 1, last=book.last_id(), key=query.key)
    more = len(entries) > limit
    entries = entries[:limit]
    return {
        "data": "ledger",
        "totals": asdict(book.totals()),
        "entries": entries,
        "next": entries[-1]["id"] if more and entries else None,
    }


def csv_pieces(book: Book, query: LedgerQuery) -> Iterator[bytes]:
    """The statement in pieces of some thousand lines, however long it is."""
    yield _csv([COLUMNS])
    for batch in book.all_entries(after=query.after, limit=query.limit, key=query.key):
        yield _csv([[entry[column] for column in COLUMNS] for entry in batch])


def _csv(rows: list[Any]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _number(fields: dict[str, str], name: str) -> int | None:
    text = fields.get(name)
    if text is None:
        return None
    if _NUMBER.fullmatch(text) is None:
        raise InvalidError(f"{name} must be a whole number")
    return int(text)
