"""Who is at the keyboard."""

import getpass
from typing import Any

from django.core.management.base import CommandError, CommandParser


def add_by(parser: CommandParser) -> None:
    parser.add_argument(
        "--by", metavar="NAME", help="who you are, for the record (default: your login name)"
    )


def name_of(options: dict[str, Any]) -> str:
    """The name for the record. Raises ``CommandError`` where there is none to be had."""
    if options["by"]:
        return str(options["by"])
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container may run under a number without a name.
        raise CommandError("Say who you are with --by NAME.") from None
