"""`LeaseFile`: leases in a file of SQLite, which is whole after any crash.

Each change is one transaction, done before the answer goes out. With the write-ahead log a
transaction is not forced onto the disk: kill -9 loses nothing, a power failure may lose the last
ones and never damages the file.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from firezone_filter.host.resolver.leases import LEASE, MAX_TTL, Lease
from firezone_filter.values.domains import to_domain

_VERSION: Final = 1
"""The form of the table, as the file says it itself (`user_version`)."""

_TABLE: Final = """
CREATE TABLE IF NOT EXISTS lease (
    client TEXT NOT NULL, address TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL,
    place INTEGER NOT NULL, until REAL NOT NULL, PRIMARY KEY (client, address)
) WITHOUT ROWID
"""


class LeaseFileError(Exception):
    """The file cannot be used; the text says which and why."""


class LeaseFile:
    """The leases in a file, of one process at a time."""

    def __init__(self, path: Path) -> None:
        """Open the file, or make it.

        Raises:
            LeaseFileError: another process has it, it cannot be written, or it is no such file.
        """
        self._path = path
        try:
            # Who asked for which name is nobody else's business; SQLite would ask the umask.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise LeaseFileError(f"{path}: {error.strerror}") from error
        # Nobody is waited for: whoever has the file, has it as long as it runs.
        self._database = sqlite3.connect(path, timeout=0.0, isolation_level=None)
        try:
            with self._explained():
                self._set_up()
        except BaseException:
            self._database.close()
            raise

    def _set_up(self) -> None:
        for pragma in ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=NORMAL"):
            self._database.execute(f"PRAGMA {pragma}").fetchall()
        with self._transaction():
            (version,) = self._database.execute("PRAGMA user_version").fetchone()
            if version not in {0, _VERSION}:
                raise LeaseFileError(f"{self._path}: of another version of this program")
            self._database.execute(_TABLE)
            self._database.execute(f"PRAGMA user_version={_VERSION}")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, UnicodeError) as error:
            raise LeaseFileError(f"{self._path}: {error}") from error

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")

    def load(self, now: float) -> list[Lease]:
        """Return all leases.

        The clock may have been set since they were saved. So each lasts, in the file as well,
        until an answer of just before *now* is cached nowhere any more; and none lasts longer than
        one that begins *now*.

        Raises:
            LeaseFileError: the file is damaged.
        """
        with self._explained():
            self._database.execute(
                "UPDATE lease SET until = max(min(until, ?), ?)", (now + LEASE, now + MAX_TTL)
            )
            rows = self._database.execute(
                "SELECT client, name, version, address, until FROM lease"
                " ORDER BY client, name, version, place"
            ).fetchall()
        found: dict[tuple[str, str, int], Lease] = {}
        for client_id, name, version, text, until in rows:
            key = (client_id, name, version)
            before = found[key].addresses if key in found else ()
            try:
                address = ip_address(text)
                is_sound = to_domain(name) == name and address.version == version
            except (TypeError, ValueError) as error:
                raise LeaseFileError(f"{self._path}: {error}") from error
            if not is_sound or type(client_id) is not str:
                raise LeaseFileError(f"{self._path}: no lease can be {(*key, text)}")
            found[key] = Lease(client_id, name, version, (*before, address), until)
        return list(found.values())

    def save(self, lease: Lease) -> None:
        """Put *lease* in the place of the one before, and take its addresses from all others.

        Raises:
            LeaseFileError: it cannot be written; nothing has been.
        """
        key = (lease.client_id, lease.name, lease.version)
        with self._explained(), self._transaction():
            self._database.execute(
                "DELETE FROM lease WHERE client = ? AND name = ? AND version = ?", key
            )
            self._database.executemany(
                "INSERT OR REPLACE INTO lease (client, name, version, address, place, until)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (*key, str(address), place, lease.until)
                    for place, address in enumerate(lease.addresses)
                ],
            )

    def remove(self, until: float) -> None:
        """Remove all leases that are over at *until*.

        Raises:
            LeaseFileError: it cannot be written; nothing has been.
        """
        with self._explained(), self._transaction():
            self._database.execute("DELETE FROM lease WHERE until <= ?", (until,))

    def close(self) -> None:
        """Close the file."""
        self._database.close()
