"""Accounts and their API keys. A key is shown once, to whoever made it, and never again."""

from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from wallets.admin.read_only import ReadOnlyAdmin
from wallets.admin.shown import ID, NOTHING, Column, code, column, labelled, link, moment
from wallets.admin.tables import table
from wallets.domain.api_keys import ApiKeyRefused, IssuedKey, issue, revoke, rotate
from wallets.models import ApiKey, Scope, Tenant
from wallets.models.clock import database_now

# What the command rotate_api_key gives, too.
_GRACE = timedelta(hours=24)


def _with_state(keys: QuerySet[ApiKey]) -> QuerySet[ApiKey]:
    return keys.annotate(looked_at=Now())


def _state(key: Any) -> str:
    if key.revoked_at is not None:
        return str(_("Revoked"))
    if key.expires_at is not None and key.expires_at <= key.looked_at:
        return str(_("Expired"))
    return str(_("Valid"))


def account_link(row: Any) -> str:
    """For rows that belong to an account, or to nobody."""
    return NOTHING if row.tenant is None else link("tenant", row.tenant_id, row.tenant.name)


account = labelled("account", _("account"), account_link)
state = labelled("state", _("state"), _state)
scopes = column(ApiKey, "scopes", lambda given: code(" ".join(given)))
KEY_COLUMNS: tuple[Column, ...] = (
    labelled("prefix", _("prefix"), lambda key: link("apikey", key.pk, code(key.prefix))),
    column(ApiKey, "name", str),
    scopes,
    state,
    column(ApiKey, "expires_at", moment),
    column(ApiKey, "last_used_at", moment),
)


class IssueForm(forms.ModelForm):
    account = forms.CharField(
        label=_("Account"),
        max_length=100,
        help_text=_("Whose wallets the key reaches. An account of this name is opened if needed."),
    )
    scopes = forms.MultipleChoiceField(
        label=_("Scopes"), choices=Scope.choices, widget=forms.CheckboxSelectMultiple
    )
    last_day = forms.DateField(
        label=_("Last day"),
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}),
        help_text=_("The key works until this day ends. Leave it empty for a key without end."),
    )
    issued: IssuedKey | None = None

    class Meta:
        model = ApiKey
        fields = ("name",)

    def clean_last_day(self) -> datetime | None:
        day = self.cleaned_data["last_day"]
        if day is None:
            return None
        zone = ZoneInfo(settings.ADMIN_TIME_ZONE)
        try:
            end = datetime.combine(day + timedelta(days=1), time(), tzinfo=zone)
        except OverflowError:
            raise forms.ValidationError(_("This day is too far away.")) from None
        if end <= database_now():
            raise forms.ValidationError(_("This day is over."))
        return end

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = super().clean() or {}
        taken = ApiKey.objects.filter(
            tenant__name=given.get("account"), name=given.get("name"), revoked_at__isnull=True
        )
        if taken.exists():
            self.add_error(
                "name",
                _("The account has a key of this name: rotate or revoke it, or take another name."),
            )
        return given

    def _post_clean(self) -> None:
        """The domain has the last word: what it refuses is an error of the form."""
        super()._post_clean()  # type: ignore[misc]
        if self.errors:
            return
        try:
            self.issued = issue(
                tenant=self.cleaned_data["account"],
                name=self.cleaned_data["name"],
                scopes=self.cleaned_data["scopes"],
                expires_at=self.cleaned_data["last_day"],
                now=database_now(),
            )
        except ApiKeyRefused as refusal:
            self.add_error(None, str(refusal))


@admin.register(Tenant)
class TenantAdmin(ReadOnlyAdmin):
    created_at = column(Tenant, "created_at", moment)

    list_display = (ID, "name", created_at)
    search_fields = ("id",)
    search_help_text = _("Finds exactly this id or name.")
    page = ((None, (ID, "name", created_at)),)

    def find(self, term: str) -> Q:
        return Q(name=term) | super().find(term)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        if request.user.has_perm("wallets.view_apikey"):
            keys = _with_state(context["original"].api_keys.order_by("-pk"))
            context["keys"] = table(KEY_COLUMNS, keys)
        return super().render_change_form(request, context, *args, **kwargs)


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    """Keys are issued, rotated and revoked by the domain; nothing about one is edited."""

    created_at = column(ApiKey, "created_at", moment)
    expires_at = column(ApiKey, "expires_at", moment)
    revoked_at = column(ApiKey, "revoked_at", moment)
    last_used_at = column(ApiKey, "last_used_at", moment)
    prefix = column(ApiKey, "prefix", code)

    form = IssueForm
    list_display = (prefix, account, "name", scopes, state, created_at, expires_at, last_used_at)
    list_select_related = ("tenant",)
    search_fields = ("id",)
    search_help_text = _("Finds exactly this id, prefix, name or account.")
    actions = ("rotate_key", "revoke_keys")
    page = (
        (
            None,
            (
                prefix,
                account,
                "name",
                scopes,
                state,
                created_at,
                expires_at,
                revoked_at,
                last_used_at,
            ),
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiKey]:
        return _with_state(super().get_queryset(request))

    def find(self, term: str) -> Q:
        return Q(prefix=term) | Q(name=term) | Q(tenant__name=term) | super().find(term)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("wallets.add_apikey")

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("wallets.change_apikey")

    def has_rotate_permission(self, request: HttpRequest) -> bool:
        """It ends a key and hands out a new one."""
        return self.has_revoke_permission(request) and self.has_add_permission(request)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return [(None, {"fields": ("account", "name", "scopes", "last_day")})]
        return super().get_fieldsets(request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        return [] if obj is None else super().get_readonly_fields(request, obj)

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        one_button = {"show_save_and_add_another": False, "show_save_and_continue": False}
        return super().add_view(request, form_url, {**(extra_context or {}), **one_button})

    def save_form(self, request: HttpRequest, form: Any, change: bool) -> ApiKey:
        issued: IssuedKey = form.issued
        return issued.key

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """The domain has saved it."""

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        self._show_once(request, form.issued)

    def response_add(
        self, request: HttpRequest, obj: Any, post_url_continue: str | None = None
    ) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:wallets_apikey_changelist"))

    @admin.action(description=_("Rotate: issue a successor"), permissions=["rotate"])
    def rotate_key(self, request: HttpRequest, chosen: QuerySet[ApiKey]) -> None:
        # The message with the secret travels in a signed cookie, which holds few of them; the
        # rest would be left in the session, in the database.
        keys = list(chosen[:2])
        if len(keys) != 1:
            self.message_user(request, _("Choose one key to rotate."), messages.ERROR)
            return
        old = keys[0]
        try:
            issued = rotate(prefix=old.prefix, grace=_GRACE, now=database_now())
        except ApiKeyRefused:
            self._say_not_valid(request, old)
            return
        self.log_change(request, old, "Rotated.")
        self.log_addition(request, issued.key, [{"added": {}}])
        self._show_once(request, issued)
        self.message_user(
            request,
            _("The old key works for another 24 hours at most: replace it where it is in use."),
            messages.WARNING,
        )

    @admin.action(description=_("Revoke at once"), permissions=["revoke"])
    def revoke_keys(self, request: HttpRequest, chosen: QuerySet[ApiKey]) -> None:
        for key in chosen:
            try:
                revoke(prefix=key.prefix, now=database_now())
            except ApiKeyRefused:
                self._say_not_valid(request, key)
                continue
            self.log_change(request, key, "Revoked.")
            self.message_user(
                request, _("The key %(key)s is revoked.") % {"key": key}, messages.SUCCESS
            )

    def _say_not_valid(self, request: HttpRequest, key: ApiKey) -> None:
        text = _("The key %(key)s was not valid any more; nothing has changed.") % {"key": key}
        self.message_user(request, text, messages.ERROR)

    def _show_once(self, request: HttpRequest, issued: IssuedKey) -> None:
        text = _("The new key %(key)s, shown this once and kept nowhere:") % {"key": issued.key}
        self.message_user(
            request, format_html("{} {}", text, code(issued.secret)), messages.SUCCESS
        )
