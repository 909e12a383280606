"""What the commands about API keys share."""

from datetime import UTC, datetime, timedelta

from django.core.management.base import CommandError

from wallets.domain.api_keys import IssuedKey


def parsed_expiry(text: str | None) -> datetime | None:
    """A date (its end, in UTC) or a date and time with an offset. Raises ``CommandError``."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        if len(text) == len("2027-01-31"):
            return moment.replace(tzinfo=UTC) + timedelta(days=1)
    except (ValueError, OverflowError):
        moment = None
    if moment is None or moment.tzinfo is None:
        raise CommandError(
            "--expires accepts a date like 2027-01-31, or a time like 2027-01-31T12:00:00+03:30."
        )
    return moment.astimezone(UTC)


def told_once(issued: IssuedKey) -> str:
    key = issued.key
    until = f"until {key.expires_at.isoformat()}" if key.expires_at else "until revoked"
    return (
        f"{issued.secret}\n"
        f"Account {key.tenant}, {key.name}, prefix {key.prefix}, {until}: "
        f"{', '.join(key.scopes)}.\n"
        "This is the only time the key is shown."
    )
