"""Lists that stay fast over any number of rows.

Nothing here counts a whole table or sorts one: lists are in order of the primary key, newest first,
and counting stops at ``MOST``. Past that the list goes on below the last row's id.
"""

from typing import Any

from django.contrib.admin.views.main import PAGE_VAR, ChangeList
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property

MOST = 10_000


class CappedPaginator(Paginator):
    @cached_property
    def counted(self) -> int:
        """How many rows there are, but at most one more than ``MOST``."""
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]
        return rows[: MOST + 1].count()

    @property
    def capped(self) -> bool:
        return self.counted > MOST

    @cached_property
    def count(self) -> int:
        return min(self.counted, MOST)


class NewestFirst(ChangeList):
    def get_ordering(self, request: HttpRequest, queryset: Any) -> list[Any]:
        return ["-pk"]

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        if not self.result_count:
            # Counting just looked everywhere and found nothing; do not look again.
            self.result_list = self.queryset.none()

    @property
    def more(self) -> bool:
        return bool(self.paginator.capped)

    @property
    def older_query(self) -> str | None:
        """Where the list goes on when its countable part ends on this page."""
        if not self.more or self.page_num < self.paginator.num_pages:
            return None
        last = self.result_list[len(self.result_list) - 1]
        return self.get_query_string({"id__lt": last.pk}, [PAGE_VAR])
