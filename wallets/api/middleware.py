"""The net under the API, and what the rest of the site needs but the API does not."""

from collections.abc import Callable
from typing import Any

from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest, HttpResponseBase
from django.middleware.common import CommonMiddleware
from django.middleware.locale import LocaleMiddleware
from django.utils.deprecation import MiddlewareMixin

from wallets.api.envelope import Envelope
from wallets.api.errors import CODE_BY_STATUS, error
from wallets.api.paths import is_api

GetResponse = Callable[[HttpRequest], HttpResponseBase]


class EnvelopeMiddleware:
    """Puts into the envelope what went wrong outside of the views.

    First in the list: Django has turned every exception into an HTML page, and logged it, by
    the time it arrives here.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if (
            response.status_code >= 400
            and not isinstance(response, Envelope)
            and is_api(request.path_info)
        ):
            otherwise = "internal_error" if response.status_code >= 500 else "bad_request"
            return error(CODE_BY_STATUS.get(response.status_code, otherwise))
        return response


class _SiteOnly(MiddlewareMixin):
    """Steps aside for the API, which has no session, cookie, form or language to choose."""

    def __call__(self, request: HttpRequest) -> Any:
        if is_api(request.path_info):
            return self.get_response(request)
        return super().__call__(request)


class SiteSessionMiddleware(_SiteOnly, SessionMiddleware):
    pass


class SiteLocaleMiddleware(_SiteOnly, LocaleMiddleware):
    pass


class SiteCommonMiddleware(_SiteOnly, CommonMiddleware):
    """With it goes APPEND_SLASH: a redirected POST would lose its body."""


class SiteAuthenticationMiddleware(_SiteOnly, AuthenticationMiddleware):
    pass


class SiteMessageMiddleware(_SiteOnly, MessageMiddleware):
    pass
