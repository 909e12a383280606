"""Fresh, migrated databases, read and written past the service: a proof trusts no code of ours."""

import itertools
import os
import re
import shutil
import sqlite3
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import psycopg2
from psycopg2.extras import execute_values

from proof.harness.processes import Process, ProofError, own_environment

Row = tuple[Any, ...]
_numbers = itertools.count(1)


class Database(Protocol):
    url: str
    vendor: str

    def rows(self, sql: str, *values: Any) -> list[Row]:
        """``%s`` stands for a value."""
        ...

    def execute(self, sql: str, *values: Any) -> None: ...

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> list[int]:
        """The new rows' ids, in order."""
        ...

    def close(self) -> None:
        """The database goes with it."""
        ...


class Server(Protocol):
    vendor: str

    def fresh(self) -> Database: ...

    def close(self) -> None: ...


class PostgresDatabase:
    vendor = "postgresql"

    def __init__(self, server: "PostgresServer", name: str) -> None:
        self._server = server
        self.name = name
        self.url = server.url_of(name)
        self._connection: Any = None

    def rows(self, sql: str, *values: Any) -> list[Row]:
        with self._cursor() as cursor:
            cursor.execute(sql, values)
            return list(cursor.fetchall())

    def execute(self, sql: str, *values: Any) -> None:
        with self._cursor() as cursor:
            cursor.execute(sql, values)

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> list[int]:
        sql = f"INSERT INTO {table} ({', '.join(columns)}) VALUES %s RETURNING id"
        with self._cursor() as cursor:
            made = execute_values(cursor, sql, rows, page_size=1000, fetch=True)
        return [row[0] for row in made]

    def _cursor(self) -> Any:
        if self._connection is None or self._connection.closed:
            self._connection = psycopg2.connect(self.url)
            self._connection.autocommit = True
        return self._connection.cursor()

    def forget_connection(self) -> None:
        """After the server went away."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def close(self) -> None:
        self.forget_connection()
        self._server.admin(f"DROP DATABASE IF EXISTS {self.name} WITH (FORCE)")


class PostgresServer:
    """Databases on a server that runs already, all copies of one that was migrated once."""

    vendor = "postgresql"

    def __init__(self, url: str, scratch: Path) -> None:
        self.url = url
        self._scratch = scratch
        self._template = ""

    def url_of(self, name: str) -> str:
        return urlsplit(self.url)._replace(path=f"/{name}").geturl()

    def version(self) -> str:
        connection = psycopg2.connect(self.url)
        try:
            return str(connection.get_parameter_status("server_version"))
        finally:
            connection.close()

    def admin(self, sql: str) -> None:
        connection = psycopg2.connect(self.url)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(sql)
        finally:
            connection.close()

    def fresh(self) -> PostgresDatabase:
        if not self._template:
            template = self._new_name("template")
            self.admin(f"CREATE DATABASE {template}")
            migrate(self.url_of(template), self._scratch)
            self._template = template
        name = self._new_name("world")
        self.admin(f"CREATE DATABASE {name} TEMPLATE {self._template}")
        return PostgresDatabase(self, name)

    def close(self) -> None:
        if self._template:
            self.admin(f"DROP DATABASE IF EXISTS {self._template} WITH (FORCE)")

    def _new_name(self, what: str) -> str:
        return f"proof_{os.getpid()}_{what}_{next(_numbers)}"


class SqliteDatabase:
    vendor = "sqlite"

    def __init__(self, path: Path) -> None:
        self.url = f"sqlite:///{path}"
        self._connection = sqlite3.connect(
            path, timeout=20, isolation_level=None, check_same_thread=False
        )
        # Django brings this one, and the tables' CHECKs call it.
        self._connection.create_function("REGEXP", 2, _matches, deterministic=True)

    def rows(self, sql: str, *values: Any) -> list[Row]:
        return self._connection.execute(_asked(sql), [_plain(v) for v in values]).fetchall()

    def execute(self, sql: str, *values: Any) -> None:
        self.rows(sql, *values)

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> list[int]:
        marks = ", ".join("?" for _ in columns)
        sql = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"
        self._connection.execute("BEGIN IMMEDIATE")
        ids = [
            int(self._connection.execute(sql, [_plain(v) for v in row]).lastrowid or 0)
            for row in rows
        ]
        self._connection.execute("COMMIT")
        return ids

    def close(self) -> None:
        self._connection.close()


class SqliteServer:
    vendor = "sqlite"

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._template: Path | None = None

    def fresh(self) -> SqliteDatabase:
        if self._template is None:
            template = self._scratch / f"template-{next(_numbers)}.sqlite3"
            migrate(f"sqlite:///{template}", self._scratch)
            self._template = template
        path = self._scratch / f"world-{next(_numbers)}.sqlite3"
        shutil.copyfile(self._template, path)
        return SqliteDatabase(path)

    def close(self) -> None:
        """Everything is in the scratch directory."""


def migrate(url: str, scratch: Path) -> None:
    process = Process(
        ["manage.py", "migrate", "--verbosity", "0"],
        log=scratch / f"migrate-{next(_numbers)}",
        environment=own_environment() | {"DATABASE_URL": url},
    )
    if process.wait() != 0:
        raise ProofError(f"the database could not be migrated:\n{process.errors()}")


def _matches(pattern: str, text: str | None) -> bool:
    return text is not None and re.search(pattern, text) is not None


def _asked(sql: str) -> str:
    return sql.replace("%s", "?")


def _plain(value: Any) -> Any:
    """As Django keeps it in SQLite."""
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S.%f")
    return value
