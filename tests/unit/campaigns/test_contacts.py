"""Rows of lists as contacts, and what is refused."""

from __future__ import annotations

from pathlib import Path

import openpyxl
import pytest

from gateway.campaigns.contacts import BadRow, Columns, ColumnsUnknown, contact_of_row
from gateway.campaigns.lists import BadList, Row, rows_of
from gateway.campaigns.model import Number
from gateway.campaigns.order import CampaignOrder

ORDER = CampaignOrder(
    name="x",
    persona="a.B",
    variables={  # type: ignore[arg-type]
        "name": {"required": True},
        "tariff": {"values": ["day", "night"]},
        "customer": {"pattern": "[0-9]{4}"},
    },
)
NEW_YORK = ("America/New_York",)


def read(path: Path, **how: str) -> list[Row]:
    with rows_of(path, **how) as rows:
        return list(rows)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "list.csv"


def contact(header: str, row: str, named: dict[str, str] | None = None, **how: str):  # type: ignore[no-untyped-def]
    columns = Columns.of(header.split(","), ORDER, named, **how)
    return contact_of_row(row.split(","), columns, ORDER)


def test_columns_are_found_by_their_headers() -> None:
    made = contact("ID,Name,Phone,Phone 2,Time zone", "17,Ada,+12125550123,+1 305 555 0101,America/New_York")
    assert (made.key, made.variables) == ("17", {"name": "Ada"})
    assert made.numbers == (Number("+12125550123", NEW_YORK, "US"), Number("+13055550101", NEW_YORK, "US-FL"))


def test_other_headers_are_named() -> None:
    named = {"Handy": "number", "Kunde": "variables.name", "Nr": "key", "Grundlage": "consent"}
    made = contact("Nr,Kunde,Handy,Grundlage", "1,Ada,030 12345678,contract", named, region="DE")
    assert (made.key, made.numbers[0].number, made.consent) == ("1", "+493012345678", "contract")


def test_without_a_key_the_number_is_it() -> None:
    made = contact("name,number,number_2", "Ada,+12125550123,+1 (212) 555-0123", consent="contract")
    assert (made.key, len(made.numbers), made.consent) == ("+12125550123", 1, "contract")


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("Ada,12,day,1234", "is not a telephone number"),
        ("Ada,+1212555,day,1234", "has a length that no number of its country has"),
        ("Ada,020 7946 0001,day,1234", "without a \\+ its country is not known"),
        ("Ada,,day,1234", "it has no number"),
        (",+12125550123,day,1234", "name is missing"),
        ("Ada,+12125550123,noon,1234", "tariff is none of day, night"),
        ("Ada,+12125550123,day,12345", "customer does not match"),
        (f"{'A' * 1001},+12125550123,day,1234", "name is longer than 1000"),
        ("Ada", "it has no number"),
    ],
)
def test_what_is_refused_says_why(row: str, why: str) -> None:
    with pytest.raises(BadRow, match=why):
        contact("name,number,tariff,customer", row)


def test_a_zone_that_is_none_is_refused() -> None:
    with pytest.raises(BadRow, match="Mars/North"):
        contact("name,number,zone", "Ada,+12125550123,Mars/North")


@pytest.mark.parametrize(
    ("header", "named", "why"),
    [
        ("name,email", {}, "no column has numbers"),
        ("number", {}, "no column for the variable name"),
        ("name,number", {"Handy": "number"}, "no column is called Handy"),
        ("name,number", {"name": "surname"}, '"surname" is nothing'),
    ],
)
def test_columns_that_are_not_known(header: str, named: dict[str, str], why: str) -> None:
    with pytest.raises(ColumnsUnknown, match=why):
        Columns.of(header.split(","), ORDER, named)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("name;number\nJörg;+4930\n", "utf-8"),
        ("name,number\nJörg,+4930\n", "utf-8-sig"),
        ("name\tnumber\r\nJörg\t+4930\r\n", "cp1252"),
        ("name|number\nJörg|+4930\n", "utf-16"),
    ],
)
def test_delimiter_and_encoding_are_found_out(file: Path, text: str, encoding: str) -> None:
    file.write_bytes(text.encode(encoding))
    assert [list(row.cells) for row in read(file)] == [["name", "number"], ["Jörg", "+4930"]]


def test_lines_are_those_of_the_file(file: Path) -> None:
    file.write_text('name,number\n\n"Ada\nLovelace",+12125550123\nBob,+12125550124\n')
    assert [row.line for row in read(file)] == [1, 3, 5]


def test_a_broken_row_in_the_middle_costs_nobody_else(file: Path) -> None:
    good = b"name,number\nAda,+1\n"
    file.write_bytes(good * 9000 + b"J\xf6rg,+2\n" + b"A" * 30_000 + b",+3\nEve,+4\n")
    rows = read(file)
    assert [row.broken for row in rows[-3:]] == ["it is not utf-8", "field larger than field limit (20000)", ""]
    assert list(rows[-1].cells) == ["Eve", "+4"]


def test_excel(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.append(["name", "number", "customer"])
    book.active.append(["Ada", 12125550123, "0012"])
    book.save(tmp_path / "list.xlsx")
    assert [list(row.cells) for row in read(tmp_path / "list.xlsx")][1] == ["Ada", "12125550123", "0012"]
    (tmp_path / "broken.xlsx").write_bytes(b"PK nothing")
    with pytest.raises(BadList, match="cannot be read"):
        read(tmp_path / "broken.xlsx")
