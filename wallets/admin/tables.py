"""Small tables inside a page, of the same columns as the lists."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Model

from wallets.admin.shown import Column


@dataclass(frozen=True, slots=True)
class Table:
    headers: list[Any]
    rows: list[list[str]]


def table(columns: Sequence[Column], rows: Iterable[Model]) -> Table:
    return Table(
        headers=[getattr(each, "short_description", "") for each in columns],
        rows=[[each(row) for each in columns] for row in rows],
    )
