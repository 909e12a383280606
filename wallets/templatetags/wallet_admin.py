"""What the admin's own templates ask for."""

from django import template
from django.conf import settings

from wallets.admin import overview

register = template.Library()


@register.simple_tag
def payouts_now() -> overview.Overview:
    return overview.payouts_now()


@register.simple_tag
def admin_time_zone() -> str:
    return str(settings.ADMIN_TIME_ZONE)
