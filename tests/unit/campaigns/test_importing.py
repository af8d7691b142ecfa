"""A list's way into a campaign."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from gateway.campaigns.contacts import ColumnsUnknown
from gateway.campaigns.importing import BATCH, Imported, import_list
from gateway.campaigns.lists import BadList
from gateway.campaigns.model import Contact
from gateway.campaigns.order import CampaignOrder

ORDER = CampaignOrder(name="x", persona="a.B")


class Added:
    def __init__(self) -> None:
        self.batches: list[int] = []
        self.keys: set[str] = set()

    async def __call__(self, contacts: list[Contact]) -> int:
        self.batches.append(len(contacts))
        before = len(self.keys)
        self.keys |= {contact.key for contact in contacts}
        return len(self.keys) - before


async def test_rows_are_added_in_batches_and_the_rest_is_told(tmp_path: Path) -> None:
    good = "".join(f"{n},+1212555{n:04d}\n" for n in range(BATCH + 10))
    (tmp_path / "list.csv").write_text(f"id,phone\n{good}7,+12125550007\nx,none,more\n")
    added, seen = Added(), list[Imported]()
    refused = tmp_path / "refused.csv"
    done = await import_list(tmp_path / "list.csv", ORDER, added, refused=refused, progress=seen.append)
    assert done == Imported(rows=BATCH + 12, added=BATCH + 10, double=1, refused=1)
    assert added.batches == [BATCH, 11] and [each.rows for each in seen] == [BATCH, BATCH + 12]
    header, row = list(csv.reader(refused.read_text().splitlines()))
    assert header == ["id", "phone", "line", "refused"]
    assert row[:3] == ["x", "none", str(BATCH + 13)] and "not a telephone number" in row[3]


async def test_what_was_refused_can_be_mended_and_imported(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("id;phone\n1;12\n")
    refused = tmp_path / "refused.csv"
    await import_list(tmp_path / "list.csv", ORDER, Added(), refused=refused)
    refused.write_text(refused.read_text().replace(",12,", ",+12125550123,"))
    again = await import_list(refused, ORDER, Added(), refused=tmp_path / "none.csv")
    assert again == Imported(rows=1, added=1)
    assert not (tmp_path / "none.csv").exists()


@pytest.mark.parametrize(("text", "error"), [("", BadList), ("name\nAda\n", ColumnsUnknown)])
async def test_a_list_that_is_none_adds_nothing(tmp_path: Path, text: str, error: type[Exception]) -> None:
    (tmp_path / "list.csv").write_text(text)
    added = Added()
    with pytest.raises(error):
        await import_list(tmp_path / "list.csv", ORDER, added, refused=tmp_path / "refused.csv")
    assert added.batches == []
