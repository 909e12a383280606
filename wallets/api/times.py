"""Moments as the API reads and writes them: ISO 8601 with an offset in, UTC out."""

import re
from datetime import UTC, datetime, timedelta

from wallets.api.refusals import Unfit

# The extended format to the minute or finer. Python's own parser also takes week dates, basic
# format and, from one version to the next, other things; what we accept should not move with it.
_TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:[Tt ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]{1,9}))?)?"
    r"(?P<offset>[Zz]|(?P<sign>[+-])(?P<hours>[0-9]{2})(?::?(?P<minutes>[0-5][0-9]))?)?)?"
)
# In a query string an unescaped plus sign arrives as a space.
_PLUS_LOST = re.compile(r"(.*[Tt ][0-9:.,]+) ([0-9]{2}(?::?[0-9]{2})?)")


def written(moment: datetime) -> str:
    """Always UTC and always to the microsecond, so that texts sort as their moments do."""
    utc = moment.astimezone(UTC).replace(tzinfo=None)
    return utc.isoformat(timespec="microseconds") + "Z"


def moment(text: object) -> datetime:
    """Raises ``Unfit``."""
    if not isinstance(text, str):
        raise Unfit("time_invalid", "must be a string with an ISO 8601 date and time")
    match = _TIME.fullmatch(text)
    if match is None:
        raise Unfit("time_invalid", "must be an ISO 8601 date and time with an offset")
    if match[4] is None:
        raise Unfit("time_invalid", "must have a time of day and an offset, not a date alone")
    if match["offset"] is None:
        raise Unfit("time_without_offset", "must end with an offset from UTC, such as Z or +03:30")
    return _utc(match)


def moment_in_query(text: str) -> datetime:
    """As ``moment``, understanding a plus sign that was not escaped. Raises ``Unfit``."""
    lost = _PLUS_LOST.fullmatch(text)
    return moment(f"{lost[1]}+{lost[2]}" if lost else text)


def _utc(match: re.Match[str]) -> datetime:
    year, month, day, hour, minute = (int(match[group]) for group in range(1, 6))
    second = int(match[6] or 0)
    microsecond = int((match[7] or "").ljust(6, "0")[:6])
    offset_minutes = int(match["hours"] or 0) * 60 + int(match["minutes"] or 0)
    if offset_minutes >= 24 * 60:
        raise Unfit("time_invalid", "has an offset of a day or more")
    if match["sign"] == "-":
        offset_minutes = -offset_minutes
    try:
        local = datetime(year, month, day, hour, minute, second, microsecond, UTC)
    except ValueError as error:
        raise Unfit("time_invalid", f"is not a date and time that exists: {error}") from error
    try:
        return local - timedelta(minutes=offset_minutes)
    except OverflowError as error:
        raise Unfit("time_out_of_range", "is outside the years 1 to 9999 in UTC") from error
