"""Pages of lists that are ordered by id, newest first, and the links between them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from django.db.models import QuerySet
from django.http import QueryDict
from rest_framework.request import Request

from wallets.api.cursors import Cursor, Cursors


class Numbered(Protocol):
    @property
    def id(self) -> int: ...


Shown = TypeVar("Shown", bound=Numbered)


@dataclass(frozen=True, slots=True)
class Page(Generic[Shown]):
    results: list[Shown]
    next: Cursor | None
    previous: Cursor | None

    def as_json(
        self, request: Request, cursors: Cursors, one_as_json: Callable[[Shown], Any]
    ) -> dict[str, Any]:
        return {
            "results": [one_as_json(row) for row in self.results],
            "next": _link(request, cursors, self.next),
            "previous": _link(request, cursors, self.previous),
        }


def page_at(
    cursor: Cursor | None,
    rows: QuerySet[Any],
    *,
    limit: int,
    read: Callable[[QuerySet[Any]], Iterable[Shown]],
    newest: Sequence[str] = ("-id",),
    oldest: Sequence[str] = ("id",),
) -> Page[Shown]:
    """``read`` turns sliced ``rows`` into what is shown.

    ``newest`` and ``oldest``: how to order them, ending with the id, so that an index is used.
    """
    rows = rows.order_by(*newest)
    if cursor is None:
        found = list(read(rows[: limit + 1]))
        return _page(found[:limit], more_older=len(found) > limit, more_newer=False)
    if cursor.older:
        found = list(read(rows.filter(id__lt=cursor.id)[: limit + 1]))
        page = _page(found[:limit], more_older=len(found) > limit, more_newer=True)
        return page if found else Page([], None, Cursor(older=False, id=cursor.id - 1))
    found = list(read(rows.filter(id__gt=cursor.id).order_by(*oldest)[: limit + 1]))
    page = _page(found[:limit][::-1], more_older=True, more_newer=len(found) > limit)
    return page if found else Page([], Cursor(older=True, id=cursor.id + 1), None)


def _page(results: list[Shown], *, more_older: bool, more_newer: bool) -> Page[Shown]:
    return Page(
        results,
        next=Cursor(older=True, id=results[-1].id) if results and more_older else None,
        previous=Cursor(older=False, id=results[0].id) if results and more_newer else None,
    )


def address(request: Request, **changed: str) -> str:
    """That of this request, with these parameters changed."""
    parameters: QueryDict = request.query_params.copy()
    for name, value in changed.items():
        parameters[name] = value
    return str(request.build_absolute_uri(f"{request.path}?{parameters.urlencode()}"))


def _link(request: Request, cursors: Cursors, cursor: Cursor | None) -> str | None:
    """The address of the page at ``cursor``, with the filters and the limit of this one."""
    return None if cursor is None else address(request, cursor=cursors.write(cursor))
