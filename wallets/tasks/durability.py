"""Refuse a database that may forget a claim after the bank has paid for it."""

from django.db import connection


class CommitsMayBeLost(Exception):
    """The database acknowledges commits that a crash may undo."""


def demand_durable_commits() -> None:
    """Raises ``CommitsMayBeLost``.

    A claim that is forgotten after the send restores a balance that has been paid out. Other than
    ``off`` all values of PostgreSQL's ``synchronous_commit`` keep what was acknowledged on the
    server that acknowledged it; SQLite is told ``synchronous=FULL`` when it is opened.
    """
    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        cursor.execute("SHOW synchronous_commit")
        [value] = cursor.fetchone()
    if value == "off":
        raise CommitsMayBeLost
