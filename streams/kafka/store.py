"""A partition's local state in RocksDB, one column family for each table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rocksdict import (
    AccessType,
    BlockBasedOptions,
    Cache,
    Options,
    Rdict,
    ReadOptions,
    WriteBatch,
    WriteBufferManager,
    WriteOptions,
)

from streams.worker.ports import Row
from streams.worker.single_index import SINGLE
from streams.worker.starts import STARTS
from streams.worker.tables import DUE, HELD, LANE, LEDGER, META, OPEN

TABLES = (OPEN, LEDGER, DUE, LANE, HELD, STARTS, SINGLE, META)
WRITE_BUFFER_BYTES = 4 * 1024 * 1024
# Of all tables of all partitions together: there may be hundreds, and each would keep its own.
WRITE_BUFFERS_BYTES = 32 * 1024 * 1024
ARENA_BYTES = 64 * 1024  # what a table takes at its first write: of many that is one of few
# The index has a row for each block and is in memory whole: at RocksDB's own 4 KiB it takes more
# than the filters, which answer most of what a ledger is asked for without index or block.
BLOCK_BYTES = 16 * 1024
CACHE_BYTES = 16 * 1024 * 1024

_shared_cache: list[Cache] = []
_shared_buffers: list[WriteBufferManager] = []


class RocksStore:
    """Ordered tables on disk; writes are atomic. Nothing is lost that the topics do not have."""

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        options = _options()
        known = Rdict.list_cf(str(path), options) if (path / "CURRENT").exists() else ()
        # All of them at once: a table that is made on its own waits for the disk several times.
        families = {name: _options() for name in {*known, *TABLES} - {"default"}}
        self._db = Rdict(
            str(path), options, column_families=families, access_type=AccessType.read_write()
        )
        self._writing = WriteOptions()
        self._tables: dict[str, Rdict] = {}
        self._handles: dict[str, Any] = {}
        for table in TABLES:
            self._open(table)

    def get(self, table: str, key: bytes) -> bytes | None:
        """The value, or None."""
        value: bytes | None = self._tables[table].get(key)
        return value

    def scan(self, table: str, start: bytes, stop: bytes | None) -> Iterator[tuple[bytes, bytes]]:
        """Pairs with start <= key < stop, as they were at the call."""
        options = ReadOptions()
        if stop is not None:
            # RocksDB itself must know: to find that nothing is there, it would go on through all
            # that was removed behind it, as far as the next row that is left.
            options.set_iterate_upper_bound(stop)
        cursor = self._tables[table].iter(options)
        cursor.seek(start)
        while cursor.valid():
            yield cursor.key(), cursor.value()
            cursor.next()

    def write(self, changes: Sequence[Row]) -> None:
        """Apply all changes, or none."""
        batch = WriteBatch(raw_mode=True)
        handles = self._handles
        for table, key, value in changes:
            if value is None:
                batch.delete(key, column_family=handles[table])
            else:
                batch.put(key, value, column_family=handles[table])
        self._db.write(batch, self._writing)

    def clear(self, table: str) -> None:
        """Remove all of one table; what a crash leaves of it is made anew at the next start."""
        del self._tables[table], self._handles[table]
        self._db.drop_column_family(table)
        self._db.create_column_family(table, _options())
        self._open(table)

    def risk(self) -> None:
        """Leave the log out: a crash takes what is not in a file of its table by then."""
        # Not only the process may crash: files of tables are on the disk when they are finished,
        # and must not be there without what was written before them.
        self._db.flush_wal(True)
        self._writing.disable_wal = True

    def keep(self) -> None:
        """Put all tables into files, and the log in again."""
        for table in self._tables.values():
            table.flush()
        self._writing.disable_wal = False

    def _open(self, table: str) -> None:
        self._tables[table] = self._db.get_column_family(table)
        self._handles[table] = self._db.get_column_family_handle(table)

    def close(self) -> None:
        """Flush and release the directory."""
        self._tables.clear()
        self._handles.clear()
        self._db.close()


def _options() -> Options:
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.create_missing_column_families(True)
    options.set_write_buffer_size(WRITE_BUFFER_BYTES)
    options.set_max_write_buffer_number(2)
    options.set_keep_log_file_num(2)
    options.set_arena_block_size(ARENA_BYTES)
    if not _shared_buffers:
        _shared_buffers.append(WriteBufferManager(WRITE_BUFFERS_BYTES, False))
    options.set_write_buffer_manager(_shared_buffers[0])
    blocks = BlockBasedOptions()
    if not _shared_cache:
        # One cache for the process: RocksDB's default would be one for each partition.
        _shared_cache.append(Cache(CACHE_BYTES))
    blocks.set_block_size(BLOCK_BYTES)
    blocks.set_block_cache(_shared_cache[0])
    blocks.set_bloom_filter(10, False)
    options.set_block_based_table_factory(blocks)
    return options
