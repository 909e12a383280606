"""The envelope: the same four keys around everything the API says."""

import json
from collections.abc import Mapping
from typing import Any

from django.http import HttpResponse

from wallets.api.catalogue import Text

_encode = json.JSONEncoder(
    ensure_ascii=False, check_circular=False, allow_nan=False, separators=(",", ":")
).encode


class Envelope(HttpResponse):
    """An answer of the API, rendered at once: there is only one format to choose from."""

    def __init__(
        self,
        status: int,
        detail: str,
        message: Text,
        data: Mapping[str, Any],
        headers: Mapping[str, str] | None = None,
    ) -> None:
        text = _encode(
            {"detail": detail, "message": message.as_json(), "status": status, "data": data}
        )
        # A lone surrogate, which a client can write as "\ud800" and we may repeat, has no UTF-8.
        # Escaped by Python it is again the JSON escape it came from.
        content = text.encode("utf-8", "backslashreplace")
        super().__init__(content, status=status, content_type="application/json")
        self.headers["Content-Length"] = str(len(content))
        # A balance shown from a cache is a wrong balance.
        self.headers["Cache-Control"] = "no-store"
        for name, value in (headers or {}).items():
            self.headers[name] = value
        # Django would log every 4xx as a warning, and every 5xx a second time, without its story;
        # wallets.api.errors logs what an operator has to know.
        self._has_been_logged = True
