"""Rows of a list: CSV of any delimiter and encoding, or Excel's .xlsx, read as a stream. Blocking.

What can't be a contact goes into a file beside it, with its line and the reason.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["BadList", "Row", "rows_of"]

_SNIFFED = 65_536  # bytes that tell delimiter and encoding
_DELIMITERS = ",;\t|"
MOST_CELL = 20_000  # characters


class BadList(ValueError):
    """The file cannot be read as a list."""


@dataclass(frozen=True, slots=True)
class Row:
    """`line`: in the file, from 1. `broken`: why it cannot be read; the rest of the list can."""

    line: int
    cells: Sequence[str]
    broken: str = ""


@contextmanager
def rows_of(path: Path, *, delimiter: str = "", encoding: str = "") -> Iterator[Iterator[Row]]:
    """The header first. `delimiter`, `encoding`: found out if not given. Raises BadList, OSError."""
    if path.suffix.lower() in (".xlsx", ".xlsm"):
        with _excel(path) as rows:
            yield rows
        return
    with path.open("rb") as file:
        start = file.read(_SNIFFED)
        file.seek(0)
        encoding = encoding or _encoding(start)
        try:
            head = start.decode(encoding, "ignore")
        except LookupError:
            raise BadList(f'"{encoding}" is not an encoding') from None
        text = io.TextIOWrapper(file, encoding, "replace", newline="")
        yield _csv(text, delimiter or _delimiter(head), encoding)


def _csv(text: io.TextIOWrapper, delimiter: str, encoding: str) -> Iterator[Row]:
    csv.field_size_limit(MOST_CELL)
    reader = csv.reader(text, delimiter=delimiter)
    line = 1
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            yield Row(line, (), str(error))
            line = reader.line_num + 1
            continue
        if cells is None:
            return
        if any("\ufffd" in cell for cell in cells):
            yield Row(line, cells, f"it is not {encoding}")
        elif any(cell.strip() for cell in cells):
            yield Row(line, cells)
        line = reader.line_num + 1


def _encoding(start: bytes) -> str:
    """By its mark; without one UTF-8 if it can be, else what Windows writes in western Europe."""
    for mark, name in ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if start.startswith(mark):
            return name
    cut = start if len(start) < _SNIFFED else start[: start.rfind(b"\n") + 1]
    try:
        cut.decode("utf-8")
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def _delimiter(head: str) -> str:
    """What the header has most of."""
    first = head.partition("\n")[0]
    return max(_DELIMITERS, key=first.count)


@contextmanager
def _excel(path: Path) -> Iterator[Iterator[Row]]:
    try:
        import openpyxl
    except ImportError:
        raise BadList("reading .xlsx needs openpyxl: install trunkline[campaigns]") from None
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except Exception as error:  # whatever a broken archive raises
        raise BadList(f"{path.name} cannot be read as .xlsx: {error}") from error
    try:
        yield _cells(book.worksheets[0].iter_rows(values_only=True))
    finally:
        book.close()


def _cells(rows: Iterator[tuple[object, ...]]) -> Iterator[Row]:
    for line, values in enumerate(rows, 1):
        cells = [_text(value) for value in values]
        if any(cell.strip() for cell in cells):
            yield Row(line, cells)


def _text(value: object) -> str:
    """Excel turns numbers into numbers: 12125550100 is 12125550100.0 in its file."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
