"""What `trunkline call --to` asks of the gateway."""

from __future__ import annotations

import argparse

import pytest

from gateway.commands.call import add_parser
from gateway.commands.place_call import order_of

PLACED = ["call", "--to", "+15557001234", "--persona", "clinic.Reminder"]


def asked(*more: str) -> dict[str, object]:
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    return order_of(parser.parse_args([*PLACED, *more]))


@pytest.mark.parametrize(
    ("more", "answering"),
    [
        ((), None),
        (("--detect",), {"detect": True}),
        (("--no-detect",), {"detect": False}),
        (("--message", "Hello {name}", "--var", "name=Ada"), {"message": "Hello {name}"}),
        (("--detect", "--message", "", "--screener", "Ada"), {"detect": True, "message": "", "screener": "Ada"}),
    ],
)
def test_what_to_do_about_whoever_answers(more: tuple[str, ...], answering: dict[str, object] | None) -> None:
    order = asked(*more)
    assert order.get("answering") == answering
