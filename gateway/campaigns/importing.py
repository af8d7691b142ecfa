"""Puts a list's rows into a campaign: as a stream, in batches, with what was refused in a file of its own."""

from __future__ import annotations

import asyncio
import csv
import itertools
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from gateway.campaigns.contacts import BadRow, Columns, contact_of_row
from gateway.campaigns.lists import BadList, Row, rows_of
from gateway.campaigns.model import Contact
from gateway.campaigns.order import CampaignOrder

__all__ = ["Imported", "import_list"]

BATCH = 2000  # rows; a batch is one transaction


@dataclass(frozen=True, slots=True)
class Imported:
    """`double`: rows whose key the campaign, or an earlier row, has already."""

    rows: int = 0
    added: int = 0
    double: int = 0
    refused: int = 0


async def import_list(
    path: Path,
    order: CampaignOrder,
    add: Callable[[list[Contact]], Awaitable[int]],
    *,
    refused: Path,
    named: Mapping[str, str] | None = None,
    region: str = "",
    consent: str = "",
    delimiter: str = "",
    encoding: str = "",
    progress: Callable[[Imported], None] = lambda _: None,
) -> Imported:
    """`add` returns how many of a batch were new. `refused`: where rows that are no contacts are written, with their
    lines and reasons; not created if there are none. Raises BadList, ColumnsUnknown, OSError."""
    done = Imported()
    with ExitStack() as stack:
        rows = await asyncio.to_thread(
            lambda: stack.enter_context(rows_of(path, delimiter=delimiter, encoding=encoding))
        )
        header = await asyncio.to_thread(next, rows, None)
        if header is None or header.broken:
            raise BadList("the list has no header")
        columns = Columns.of(header.cells, order, named, region=region, consent=consent)
        out = _Refused(refused, header.cells)
        try:
            while True:
                batch = await asyncio.to_thread(_batch, rows, columns, order, out)
                if not batch.rows:
                    return done
                added = await add(batch.contacts) if batch.contacts else 0
                done = Imported(
                    done.rows + batch.rows,
                    done.added + added,
                    done.double + len(batch.contacts) - added,
                    done.refused + batch.rows - len(batch.contacts),
                )
                progress(done)
        finally:
            out.close()


@dataclass(frozen=True, slots=True)
class _Batch:
    rows: int
    contacts: list[Contact]


def _batch(rows: Iterator[Row], columns: Columns, order: CampaignOrder, out: _Refused) -> _Batch:
    count, contacts = 0, []
    for row in itertools.islice(rows, BATCH):
        count += 1
        try:
            if row.broken:
                raise BadRow(row.broken)
            contacts.append(contact_of_row(row.cells, columns, order))
        except BadRow as error:
            out.add(row, str(error))
    return _Batch(count, contacts)


class _Refused:
    """The file is made with the first row that is refused. It has the list's columns, so that it can be mended and
    imported."""

    def __init__(self, path: Path, header: Sequence[str]) -> None:
        self._path = path
        self._header = header
        self._file: TextIO | None = None

    def add(self, row: Row, why: str) -> None:
        if self._file is None:
            self._file = self._path.open("w", newline="", encoding="utf-8")
            self._write([*self._header, "line", "refused"])
        self._write([*_as_wide(row.cells, len(self._header)), str(row.line), why])

    def _write(self, cells: Sequence[str]) -> None:
        assert self._file is not None, "it is open"
        csv.writer(self._file).writerow(cells)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def _as_wide(cells: Sequence[str], width: int) -> list[str]:
    return [*cells[:width], *[""] * (width - len(cells))]
