"""What the wallet's SQLite files have in common: their version, and what their failures mean."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from btc_legacy.errors import BitcoinError, ErrorKind

_BUSY = ("database is locked", "database table is locked")


class SqliteFile(NamedTuple):
    """One of the files: its name, the newest schema known, and what to do when it is damaged."""

    name: str
    schema: int
    remedy: str

    def damaged(self, what: str) -> BitcoinError:
        """The error of a file that is not what it should be."""
        return BitcoinError(
            ErrorKind.CONFIGURATION,
            f"{self.name} in the wallet's folder is damaged ({what}): {self.remedy}",
        )

    @contextmanager
    def failures_named(self) -> Iterator[None]:
        """Turns SQLite's exceptions into kinds."""
        try:
            yield
        except sqlite3.OperationalError as error:
            if str(error).startswith(_BUSY):
                raise BitcoinError(
                    ErrorKind.UNAVAILABLE, f"another process keeps {self.name} busy: try again"
                ) from error
            if str(error).startswith("no such "):
                raise self.damaged(str(error)) from error
            raise BitcoinError(
                ErrorKind.INTERNAL,
                f"{self.name} cannot be read or written ({error}): check the disk",
            ) from error
        except (sqlite3.DatabaseError, ValueError, TypeError) as error:
            raise self.damaged(str(error)) from error

    def schema_of(self, database: sqlite3.Connection) -> int:
        """The file's schema; one that a newer version wrote, or that has none, is refused."""
        row = database.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()
        if row is None or not str(row[0]).isdecimal() or int(row[0]) < 1:
            raise self.damaged("it has no schema")
        schema = int(row[0])
        if schema > self.schema:
            raise BitcoinError(
                ErrorKind.CONFIGURATION,
                f"{self.name} has schema {schema}, written by a newer version: use that version",
            )
        return schema


def run(database: sqlite3.Connection, statements: str) -> None:
    """Runs several statements, which end in semicolons and hold no other ones."""
    for statement in statements.split(";"):
        database.execute(statement)


@contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[None]:
    """A transaction that is undone when an exception leaves it."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        # A full disk makes SQLite undo it by itself.
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")
