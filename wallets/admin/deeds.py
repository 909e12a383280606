"""What a person may do here: fill in a form, read what will happen, confirm it.

Money and history are still changed by the domain alone, which may refuse.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from django import forms
from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.translation import gettext, gettext_lazy as _

from wallets.admin.read_only import ReadOnlyAdmin
from wallets.admin.shown import code, filled, in_persian
from wallets.domain.people import REASON_LENGTH, OperatorRefusal

# The domain says in English what is wrong with this very case; for others the kind of it is told.
_REFUSALS: dict[str, Any] = {
    "bad_input": _("A name, a reason or a reference cannot be stored as it is."),
    "no_such_withdrawal": _("There is no such withdrawal."),
    "not_in_doubt": _("Nobody has to decide about this withdrawal."),
    "in_somebodys_hands": _("An executor works on it, or a request may still be under way."),
    "contradicts_the_record": _("What is on record says otherwise."),
    "another_proposal": _("It is not what was proposed, or the same person says it."),
    "not_returnable": _("Only a withdrawal that has succeeded can be returned, once."),
}


class ReasonForm(forms.Form):
    reason = forms.CharField(
        label=_("Reason"),
        max_length=REASON_LENGTH,
        widget=forms.TextInput(attrs={"size": 80}),
        help_text=_("How you know, or why, for those who read the record."),
    )


def nothing_to_note(row: Any) -> str:
    return ""


def no_initial_values(row: Any) -> dict[str, Any]:
    return {}


@dataclass(frozen=True, slots=True)
class Deed:
    """``name`` is the end of its address and the name of the list's action."""

    name: str
    label: Any
    permission: str
    form: type[forms.Form]
    # Whether there is anything of the kind to do about a row now.
    fits: Callable[[Any], bool]
    # What the confirmed form will bring about.
    consequence: Callable[[Any, dict[str, Any]], str]
    # Does it in a person's name and returns what to say. Raises ``OperatorRefusal``.
    do: Callable[[Any, dict[str, Any], str], str]
    note: Callable[[Any], str] = nothing_to_note
    initial: Callable[[Any], dict[str, Any]] = no_initial_values


class WithDeeds(ReadOnlyAdmin):
    deeds: ClassVar[Sequence[Deed]] = ()

    def get_urls(self) -> list[Any]:
        name = f"{self.opts.app_label}_{self.opts.model_name}"
        ours = [
            path(
                f"<path:object_id>/{deed.name}/",
                self.admin_site.admin_view(partial(self.deed_view, deed=deed)),
                name=f"{name}_{deed.name}",
            )
            for deed in self.deeds
        ]
        return [*ours, *super().get_urls()]

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """From the list, too: the action leads to the page that asks and confirms."""
        return {
            deed.name: (partial(_open_page_of_one, deed=deed), deed.name, deed.label)
            for deed in self._permitted(request)
        }

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        row = context["original"]
        context["deeds"] = [
            {"label": deed.label, "url": self.deed_url(deed, row)}
            for deed in self._permitted(request)
            if deed.fits(row)
        ]
        return super().render_change_form(request, context, *args, **kwargs)

    def deed_url(self, deed: Deed, row: Any) -> str:
        name = f"admin:{self.opts.app_label}_{self.opts.model_name}_{deed.name}"
        return reverse(name, args=[row.pk])

    def _permitted(self, request: HttpRequest) -> list[Deed]:
        return [deed for deed in self.deeds if request.user.has_perm(deed.permission)]

    def deed_view(self, request: HttpRequest, object_id: str, *, deed: Deed) -> HttpResponse:
        if not (self.has_view_permission(request) and request.user.has_perm(deed.permission)):
            raise PermissionDenied
        row = self.get_object(request, unquote(object_id))
        if row is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)  # type: ignore[attr-defined]
        if not deed.fits(row):
            self.message_user(request, _("There is nothing to do here any more."), messages.ERROR)
            return self._back(row)
        form = deed.form(request.POST or None, initial=deed.initial(row))
        confirming = False
        if request.method == "POST" and form.is_valid():
            if "confirmed" not in request.POST:
                confirming = True
            elif self._done(request, row, form, deed):
                return self._back(row)
        return self._ask(request, row, form, deed, confirming=confirming)

    def _done(self, request: HttpRequest, row: Any, form: forms.Form, deed: Deed) -> bool:
        try:
            said = deed.do(row, form.cleaned_data, request.user.get_username())
        except OperatorRefusal as refusal:
            form.add_error(None, _in_words(refusal))
            return False
        self.log_change(request, row, said)
        self.message_user(request, said, messages.SUCCESS)
        return True

    def _ask(
        self, request: HttpRequest, row: Any, form: forms.Form, deed: Deed, *, confirming: bool
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": deed.label,
            "opts": self.opts,
            "original": row,
            "back": self._url_of(row),
            "form": form,
            "note": deed.note(row),
            "consequence": deed.consequence(row, form.cleaned_data) if confirming else "",
        }
        return TemplateResponse(request, "admin/wallets/deed.html", context)

    def _url_of(self, row: Any) -> str:
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", args=[row.pk])

    def _back(self, row: Any) -> HttpResponse:
        return HttpResponseRedirect(self._url_of(row))


def _open_page_of_one(
    model_admin: WithDeeds, request: HttpRequest, chosen: Any, *, deed: Deed
) -> HttpResponse | None:
    rows = list(chosen[:2])
    if len(rows) != 1:
        model_admin.message_user(request, _("Choose one row."), messages.ERROR)
        return None
    return HttpResponseRedirect(model_admin.deed_url(deed, rows[0]))


def _in_words(refusal: OperatorRefusal) -> str:
    kind = _REFUSALS.get(refusal.code)
    if kind is None or not in_persian():
        return str(refusal)
    return filled(gettext("%(kind)s (%(detail)s)"), kind=str(kind), detail=code(str(refusal)))
