"""Not more requests a minute than a key may make."""

import logging
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from wallets.domain.request_rate import count_request

if TYPE_CHECKING:
    from rest_framework.views import APIView

logger = logging.getLogger(__name__)


class KeyThrottle(BaseThrottle):
    """Shared by all processes through the database; where nobody needs a key, nobody is counted."""

    _wait: float = 0

    def allow_request(self, request: Request, view: "APIView") -> bool:
        most: int = settings.API_RATE_LIMIT_PER_MINUTE
        caller: Any = request.auth
        if not most or caller is None:
            return True
        try:
            counted = count_request(key_id=caller.key_id)
        except (DatabaseError, InterfaceError):
            if not settings.API_RATE_LIMIT_FAILS_OPEN:
                raise
            logger.exception("requests could not be counted and were let through")
            return True
        self._wait = counted.seconds_left
        return counted.requests <= most

    def wait(self) -> float:
        return self._wait
