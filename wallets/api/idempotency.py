"""The client's ``Idempotency-Key`` and the fingerprint of what it asked for."""

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from wallets.api.refusals import Problem
from wallets.api.times import written

KEY = re.compile(r"[ -~]{1,128}")


def read_key(meta: Mapping[str, Any], problems: list[Problem]) -> str | None:
    """The key in the request's header, if any; what is wrong is added to ``problems``."""
    given = meta.get("HTTP_IDEMPOTENCY_KEY")
    if given is None:
        return None
    # Blanks around a header's value are no part of it, but not every server drops them.
    key: str = given.strip(" \t")
    if not KEY.fullmatch(key):
        problems.append(
            Problem(
                "header",
                "Idempotency-Key",
                "idempotency_key_invalid",
                "must have 1 to 128 printable ASCII characters",
            )
        )
    return key


def fingerprint(values: Mapping[str, Any]) -> str:
    """Of what was asked for, not of how it was spelled: names sorted, moments in UTC."""
    plain = {
        name: written(value) if isinstance(value, datetime) else value
        for name, value in values.items()
    }
    canonical = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
