"""How times, money, places and names are shown, in English and in Persian.

Amounts are integers in minor units and stay so: only separators are added, for reading.
Ids, keys and references keep their own letters and digits, so that they can be copied.
"""

import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import jdatetime  # type: ignore[import-untyped]
from django.conf import settings
from django.contrib import admin
from django.db.models import Model
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import get_language, gettext as _, gettext_lazy, pgettext

Show = Callable[[Any], str]
Column = Callable[[Any], str]
NOTHING = "–"

_PERSIAN_DIGITS = str.maketrans("0123456789", "۰۱۲۳۴۵۶۷۸۹")
_PERSIAN_SEPARATOR = "٬"


def in_persian() -> bool:
    return (get_language() or "").startswith("fa")


def number(value: int) -> str:
    grouped = f"{value:,}"
    if not in_persian():
        return grouped
    return grouped.replace(",", _PERSIAN_SEPARATOR).translate(_PERSIAN_DIGITS)


def currency(code: str) -> str:
    return pgettext("currency", "IRR") if code == "IRR" else code


def money(amount: int, code: str) -> SafeString:
    return format_html(
        '<span class="money"><bdi dir="ltr">{}</bdi> {}</span>', number(amount), currency(code)
    )


def moment(value: datetime) -> SafeString:
    """The operator's time, Jalali in Persian; the UTC time is in the hint."""
    local = value.astimezone(ZoneInfo(settings.ADMIN_TIME_ZONE))
    if in_persian():
        jalali = jdatetime.datetime.fromgregorian(datetime=local)
        day = jalali.strftime("%Y/%m/%d").translate(_PERSIAN_DIGITS)
        time = jalali.strftime("%H:%M:%S").translate(_PERSIAN_DIGITS)
    else:
        day, time = f"{local:%Y-%m-%d}", f"{local:%H:%M:%S}"
    return format_html(
        '<time datetime="{}" title="{} UTC"><span>{}</span> <span>{}</span></time>',
        value.isoformat(),
        f"{value:%Y-%m-%d %H:%M:%S.%f}",
        day,
        time,
    )


def movement(debit: object, credit: object) -> str:
    """From where to where; the arrow follows the direction of reading."""
    return _("%(debit)s → %(credit)s") % {"debit": debit, "credit": credit}


def code(value: object) -> SafeString:
    """Something to copy: a key, a reference, a digest."""
    return format_html('<code dir="ltr">{}</code>', value)


def worker(value: str) -> str:
    """An executor's random UUID is told by its beginning; a person signs with a name."""
    if value.startswith("operator:"):
        return value.removeprefix("operator:")
    if value.startswith("statement:"):
        person = value.removeprefix("statement:")
        return _("the bank's statement, brought in by %(person)s") % {"person": person}
    try:
        return _("executor %(id)s") % {"id": str(uuid.UUID(value))[:8]}
    except ValueError:
        return value


def link(name: str, pk: object, text: object) -> SafeString:
    return format_html(
        '<a href="{}">{}</a>', reverse(f"admin:wallets_{name}_change", args=[pk]), text
    )


def wallet_link(pk: int) -> SafeString:
    return link("wallet", pk, pk)


def transaction_link(pk: int) -> SafeString:
    return link("transaction", pk, pk)


def filled(text: str, **values: str) -> SafeString:
    """A translated ``text`` whose ``%(name)s`` are filled by what may be markup."""
    for name in values:
        text = text.replace(f"%({name})s", f"{{{name}}}")
    return format_html(text, **values)


def column(model: type[Model], name: str, show: Show) -> Column:
    """A field of a list or a page, under its own label, shown by ``show`` unless it is empty."""
    field = model._meta.get_field(name)
    return labelled(
        name,
        getattr(field, "verbose_name", name),
        lambda row: NOTHING if getattr(row, name) in (None, "") else show(getattr(row, name)),
    )


def labelled(name: str, label: Any, show: Column) -> Column:
    @admin.display(description=label)
    def shown(row: Any) -> str:
        return show(row)

    shown.__name__ = name
    return shown


ID = labelled("pk", gettext_lazy("ID"), lambda row: str(row.pk))
