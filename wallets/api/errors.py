"""Turn whatever was raised into an answer, in one place."""

import logging
import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.core.exceptions import (
    BadRequest,
    DisallowedHost,
    PermissionDenied,
    SuspiciousOperation,
)
from django.db import DatabaseError, InterfaceError, OperationalError
from django.http import Http404, UnreadablePostError
from rest_framework import exceptions as drf

from wallets.api.catalogue import CATALOGUE
from wallets.api.envelope import Envelope
from wallets.api.refusals import InvalidFields, Problem, Refusal
from wallets.api.times import written
from wallets.domain.errors import DomainError

logger = logging.getLogger(__name__)

# By HTTP status, for errors of Django and DRF that have no code of ours.
CODE_BY_STATUS = {
    400: "bad_request",
    401: "authentication_required",
    403: "permission_denied",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    411: "length_required",
    413: "body_too_large",
    415: "unsupported_media_type",
    429: "too_many_requests",
    500: "internal_error",
    503: "database_unavailable",
}
# PostgreSQL refuses to write on a standby with a class Django does not call operational.
_READ_ONLY_SQL_TRANSACTION = "25006"


def exception_handler(exc: Exception, context: Mapping[str, Any]) -> Envelope:
    """The answer to an exception in a view; DRF's ``EXCEPTION_HANDLER``."""
    if isinstance(exc, DomainError):
        return _domain_error(exc)
    if isinstance(exc, InvalidFields):
        return _invalid_fields(exc)
    if isinstance(exc, Refusal):
        return error(exc.code, exc.detail, exc.data, exc.headers)
    if isinstance(exc, drf.APIException):
        return _drf_error(exc, context)
    if _database_is_unavailable(exc):
        logger.error("database unavailable", exc_info=exc, extra=_where(context))
        return error("database_unavailable")
    return _django_error(exc, context)


def error(
    code: str,
    detail: str | None = None,
    data: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Envelope:
    entry = CATALOGUE[code]
    sent = dict(headers or {})
    if entry.retry_after is not None:
        sent.setdefault("Retry-After", str(entry.retry_after))
    return Envelope(
        entry.status,
        detail or entry.message.en,
        entry.message,
        {"code": code, **(data or {})},
        sent,
    )


def _domain_error(exc: DomainError) -> Envelope:
    entry = CATALOGUE[exc.code]
    data: dict[str, Any] = {name: _plain(value) for name, value in exc.details.items()}
    detail = str(exc)
    if entry.field is not None:
        problem = Problem("body", entry.field, exc.code, f"is refused: {entry.message.en}")
        data["errors"] = [problem.as_json()]
        detail = problem.sentence
    return error(exc.code, detail, data)


def _invalid_fields(exc: InvalidFields) -> Envelope:
    entry = CATALOGUE["validation_error"]
    only = exc.problems[0] if len(exc.problems) == 1 else None
    return Envelope(
        entry.status,
        str(exc),
        CATALOGUE[only.code].message if only else entry.message,
        {"code": entry.code, "errors": [problem.as_json() for problem in exc.problems]},
    )


def _drf_error(exc: drf.APIException, context: Mapping[str, Any]) -> Envelope:
    code = CODE_BY_STATUS.get(exc.status_code, "bad_request")
    headers: dict[str, str] = {}
    detail = None  # DRF's own are translated; ours is for developers, in English.
    if isinstance(exc, drf.MethodNotAllowed):
        headers["Allow"] = ", ".join(context["view"].allowed_methods)
        detail = f"Only these methods are allowed here: {headers['Allow']}."
    if wait := getattr(exc, "wait", None):
        headers["Retry-After"] = str(math.ceil(wait))
    if auth_header := getattr(exc, "auth_header", None):
        headers["WWW-Authenticate"] = auth_header
    return error(code, detail, headers=headers)


def _django_error(exc: Exception, context: Mapping[str, Any]) -> Envelope:
    if isinstance(exc, Http404):
        return error("not_found")
    if isinstance(exc, PermissionDenied):
        return error("permission_denied")
    if isinstance(exc, UnreadablePostError):
        return error("body_incomplete")
    if isinstance(exc, DisallowedHost):
        logger.warning("host not allowed", extra=_where(context))
        return error("host_not_allowed")
    if isinstance(exc, (SuspiciousOperation, BadRequest)):
        logger.warning("suspicious request: %s", exc, extra=_where(context))
        return error("bad_request")
    logger.error("unhandled error", exc_info=exc, extra=_where(context))
    return error("internal_error")


def _database_is_unavailable(exc: Exception) -> bool:
    """Whether the same request may well succeed later: no connection, a timeout, a conflict."""
    if isinstance(exc, (OperationalError, InterfaceError)):
        return True
    if type(exc) is DatabaseError:
        # What psycopg2 raises when the server goes away in the middle of an answer.
        return True
    return getattr(exc.__cause__, "pgcode", None) == _READ_ONLY_SQL_TRANSACTION


def _where(context: Mapping[str, Any]) -> dict[str, Any]:
    request = context["request"]
    return {"method": request.method, "path": request.path}


def _plain(value: Any) -> Any:
    return written(value) if isinstance(value, datetime) else value
