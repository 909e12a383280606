"""Python imports this by itself: a host whose clocks are ``SKEW_SECONDS`` off.

The wall clock is off, and the monotonic one, which counts from each host's own start, as well.
"""

import datetime
import os
import time
from typing import Any

_SKEW = float(os.environ.get("SKEW_SECONDS", "0"))
_RealDatetime = datetime.datetime
_time, _time_ns, _monotonic = time.time, time.time_ns, time.monotonic


class _AnyDatetime(type):
    """What others made, the database's driver say, is still a datetime."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, _RealDatetime)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, _RealDatetime)


class SkewedDatetime(_RealDatetime, metaclass=_AnyDatetime):
    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> Any:
        return _RealDatetime.now(tz) + datetime.timedelta(seconds=_SKEW)

    @classmethod
    def utcnow(cls) -> Any:
        return cls.now(datetime.UTC).replace(tzinfo=None)


if _SKEW:
    time.time = lambda: _time() + _SKEW
    time.time_ns = lambda: _time_ns() + int(_SKEW * 1e9)
    # Never below zero, where no host's clock is.
    time.monotonic = lambda: _monotonic() + _SKEW + 10_000
    datetime.datetime = SkewedDatetime  # type: ignore[misc]
    print(f"{_SKEW / 60:+g} minutes", flush=True)
