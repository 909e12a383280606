"""An admin that shows and never changes, whoever asks."""

from collections.abc import Sequence
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.utils import flatten_fieldsets
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest

from wallets.admin.lookup import digits
from wallets.admin.paging import CappedPaginator, NewestFirst
from wallets.admin.shown import Column


class ReadOnlyAdmin(admin.ModelAdmin):
    """Money is changed by the service alone; not even a superuser adds, edits or deletes here.

    ``page`` lists what the page of a row shows: sections with a title are folded at first.
    """

    page: ClassVar[Sequence[tuple[Any, Sequence[str | Column]]]] = ()
    actions: Sequence[str] | None = None
    ordering = ("-pk",)
    sortable_by = ()
    paginator = CappedPaginator
    list_per_page = 50
    list_max_show_all = 0
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    view_on_site = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[NewestFirst]:
        return NewestFirst

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return [
            (title, {"fields": columns, "classes": ("collapse",) if title else ()})
            for title, columns in self.page
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        return flatten_fieldsets(self.get_fieldsets(request, obj))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Model], search_term: str
    ) -> tuple[QuerySet[Model], bool]:
        """Exact matches only, by ``find``; no term is ever compared with every row."""
        term = search_term.strip()
        if term:
            queryset = queryset.filter(self.find(term))
        return queryset, False

    def find(self, term: str) -> Q:
        pk = digits(term)
        return Q(pk=pk) if pk is not None else Q(pk__in=[])
