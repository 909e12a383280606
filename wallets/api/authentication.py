"""Who may ask for what: API keys and their scopes."""

from typing import TYPE_CHECKING, Any

from django.conf import settings
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from wallets.api.refusals import Refusal
from wallets.domain.api_keys import Caller, InvalidApiKey, authenticate
from wallets.models import Scope

if TYPE_CHECKING:
    # DRF's views read the settings that name this module.
    from rest_framework.views import APIView

_CHALLENGE = {"WWW-Authenticate": "Bearer"}
# A key has 60 characters; nothing much longer is worth looking at.
_LONGEST = 200


class ApiKeyAuthentication(BaseAuthentication):
    """``Authorization: Bearer <key>``. Without the header the caller is nobody."""

    def authenticate(self, request: Request) -> tuple[None, Caller] | None:
        header = request.META.get("HTTP_AUTHORIZATION", "")
        if not header:
            return None
        scheme, _, key = header.partition(" ")
        if scheme.lower() != "bearer" or len(header) > _LONGEST:
            raise _invalid()
        try:
            return None, authenticate(key.strip())
        except InvalidApiKey:
            raise _invalid() from None


class HasScope(BasePermission):
    """The key must have the scope that the view names for the method.

    A view that names none refuses everybody, so that a new one cannot forget it.
    """

    def has_permission(self, request: Request, view: "APIView") -> bool:
        method = str(request.method)
        if method in ("OPTIONS", "HEAD") or not hasattr(view, method.lower()):
            return True  # answered with what methods there are, or 405
        scope: Scope = view.scopes[method]  # type: ignore[attr-defined]
        caller: Any = request.auth
        if caller is None:
            if settings.API_AUTH_REQUIRED:
                raise Refusal("authentication_required", "No API key was sent.", headers=_CHALLENGE)
            return True
        if scope in caller.scopes or _reads_as_admin(caller, scope):
            return True
        raise Refusal("scope_missing", f"The API key lacks the scope {scope}.", scope=str(scope))


def tenant_of(request: Request, *, reading: bool = False) -> int | None:
    """The account whose wallets the request is about; ``None``: any."""
    caller: Any = request.auth
    if caller is None or (reading and Scope.ADMIN_READ in caller.scopes):
        return None
    return int(caller.tenant_id)


def caller_name(request: Request) -> str:
    """Who asks, as the history of a withdrawal says it."""
    caller: Any = request.auth
    return "api" if caller is None else f"api_key:{caller.key_id}"


def _reads_as_admin(caller: Caller, scope: Scope) -> bool:
    return scope == Scope.WALLETS_READ and Scope.ADMIN_READ in caller.scopes


def _invalid() -> Refusal:
    return Refusal(
        "api_key_invalid",
        "The API key is not valid. It may have been revoked, or have expired.",
        headers=_CHALLENGE,
    )
