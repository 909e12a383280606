"""How long to wait before the next try."""

import random
import re
from datetime import UTC
from email.utils import parsedate_to_datetime

_DELAY_SECONDS = re.compile(r"[0-9]+")


def full_jitter(failed_tries: int, *, base: float, cap: float, rng: random.Random) -> float:
    """Seconds before the next try, after ``failed_tries`` (1 or more) of them.

    Anything up to the doubled step: callers that failed together must not return together.
    """
    return rng.uniform(0, min(cap, base * 2 ** (failed_tries - 1)))


def retry_after_seconds(header: str | None, *, now: float, cap: float) -> float | None:
    """The pause the bank asks for, at most ``cap``; None for no header, garbage or the past.

    ``now`` is Unix time, for the form that names a date.
    """
    text = (header or "").strip()
    if not text or len(text) > 64:
        return None
    if _DELAY_SECONDS.fullmatch(text):
        return min(float(text), cap)
    try:
        moment = parsedate_to_datetime(text)
        seconds = moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() - now
    except (ValueError, OverflowError):
        return None
    return min(seconds, cap) if seconds > 0 else None
