"""What an order says about whoever answers is checked before anything rings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.config import load_settings
from gateway.config.answering import AnsweringSettings
from gateway.outbound.answering import ordered_answering
from gateway.outbound.order import CallOrder, OrderRefused
from telephony.media.wav import write_wav

SETTINGS = """\
sip: {listen: ["udp://127.0.0.1:5060"], trunks: [{name: local, allow: ["127.0.0.0/8"]}]}
dialplans: [demo.yaml]
"""


def order(**changes: Any) -> CallOrder:
    return CallOrder.model_validate_json(json.dumps({"to": "+15557001234", "persona": "a.B"} | changes))


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    folder = tmp_path / "sounds"
    folder.mkdir()
    write_wav(folder / "hello.wav", bytes(1600), bytes(1600))
    (folder / "notes.wav").write_text("not a sound")
    write_wav(tmp_path / "secret.wav", bytes(1600), bytes(1600))
    (folder / "link.wav").symlink_to(tmp_path / "secret.wav")
    return folder


async def test_nothing_said_and_nothing_asked_are_left_as_they_are() -> None:
    assert await ordered_answering(order(), None, AnsweringSettings()) is None
    assert await ordered_answering(order(answering={}), None, AnsweringSettings()) == {}
    off = order(answering={"detect": False, "message": "Hello {nobody}"})
    found = await ordered_answering(off, {"limit_s": 5.0}, AnsweringSettings())
    assert found is not None and found["detect"] is False


async def test_texts_have_their_variables_and_actions_come_through() -> None:
    asked = order(answering={"message": "Hello {name}", "actions": {"ivr": "hang_up"}}, variables={"name": "Ada"})
    found = await ordered_answering(asked, {"screener": "About {name}"}, AnsweringSettings())
    assert found == {"message": "Hello {name}", "screener": "About {name}", "actions": {"ivr": "hang_up"}}


@pytest.mark.parametrize("dialplan", [None, {"message": "Hello {surname}"}])
async def test_a_variable_that_is_not_there_is_named(dialplan: dict[str, Any] | None) -> None:
    asked = order(answering=None if dialplan else {"message": "Hello {surname}"}, variables={"name": "Ada"})
    with pytest.raises(OrderRefused, match=r"answering\.message: the call has no variable 'surname'") as refused:
        await ordered_answering(asked, dialplan, AnsweringSettings())
    assert refused.value.kind == "invalid_variable"


async def test_a_recording_is_found_in_the_folder(sounds: Path) -> None:
    asked = order(answering={"message": "file:hello.wav"})
    found = await ordered_answering(asked, None, AnsweringSettings.model_validate({"messages": str(sounds)}))
    assert found == {"message": f"file:{sounds / 'hello.wav'}"}


@pytest.mark.parametrize(
    "name",
    [
        "../secret.wav",
        "/etc/passwd",
        "link.wav",
        "none.wav",
        "",
        ".",
        "hello.wav\0",
        "x" * 1000,
        "notes.wav",
        "~/x.wav",
    ],
)
async def test_no_other_file_is_left_as_a_message(sounds: Path, name: str) -> None:
    with pytest.raises(OrderRefused) as refused:
        asked = order(answering={"message": f"file:{name}"})
        await ordered_answering(asked, None, AnsweringSettings.model_validate({"messages": str(sounds)}))
    assert refused.value.kind == "invalid_message"
    assert "root:" not in str(refused.value)


async def test_without_a_folder_no_recording_is_left(sounds: Path) -> None:
    with pytest.raises(OrderRefused, match=r"answering\.messages"):
        await ordered_answering(order(answering={"message": f"file:{sounds}/hello.wav"}), None, AnsweringSettings())


@pytest.mark.parametrize(
    "answering",
    [
        {"actions": {"voicemail": "navigate"}},
        {"actions": {"ivr": "say_who_calls"}},
        {"actions": {"parrot": "talk"}},
        {"actions": {"human": "sing"}},
        {"message": "x" * 2001},
        {"limit_s": 0},
        {"messages": "/etc"},
        {"wording": ["/etc/passwd"]},
        {"colour": "red"},
    ],
)
def test_an_order_is_refused_for_what_cannot_be(answering: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="answering"):
        order(answering=answering)


def test_files_that_the_settings_name_are_checked_at_the_start(sounds: Path) -> None:
    def missing(more: str) -> list[str]:
        return load_settings("s.yaml", f"{SETTINGS}answering: {{{more}}}\n").missing_secrets()

    assert missing(f"messages: {sounds}, message: 'file:hello.wav'") == []
    assert "no recording 'none.wav'" in missing(f"messages: {sounds}, message: 'file:none.wav'")[0]
    assert "names no folder" in missing("message: 'file:hello.wav'")[0]
    assert "missing.json" in missing(f"wording: [{sounds}/missing.json]")[0]
    settings = load_settings("s.yaml", f"{SETTINGS}answering: {{messages: {sounds}, message: 'file:hello.wav'}}\n")
    assert settings.answering.given()["message"] == f"file:{sounds / 'hello.wav'}"
