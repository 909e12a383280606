import logging
from typing import Any

from django.contrib.admin.forms import AdminAuthenticationForm
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from wallets.logins.throttle import TooManyAttempts, begin, client_address, succeeded

logger = logging.getLogger(__name__)


class ThrottledLoginForm(AdminAuthenticationForm):
    def clean(self) -> dict[str, Any]:
        name = self.cleaned_data.get("username")
        if not name or not self.cleaned_data.get("password") or self.request is None:
            return super().clean()
        try:
            attempt = begin(name=name, address=client_address(self.request))
        except TooManyAttempts:
            logger.warning("too many attempts to log in to the admin")
            raise ValidationError(
                _("Too many failed attempts to log in. Wait a while and try again."),
                code="too_many_attempts",
            ) from None
        cleaned = super().clean()
        succeeded(attempt)
        return cleaned
