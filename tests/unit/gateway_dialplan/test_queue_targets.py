"""Dialplan targets for members of queues, and what the settings' queues take from dialplans."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.config import ConfigError, Settings
from gateway.dialplan import Dialplan, Route, load_persona

SIP = {"sip": {"listen": ("udp://127.0.0.1:5060",), "trunks": ({"name": "t", "allow": ("127.0.0.0/8",)},)}}
PLAN = 'numbers:\n  "+15550190": {queue_sign: in}\n  "+15550191": {queue_sign: pause}\n'


def plan(folder: Path, text: str = PLAN, **settings: Any) -> Dialplan:
    file = folder / "plan.yaml"
    file.write_text(text)
    return Dialplan.load([file], Settings.model_validate({**SIP, "dialplans": (str(file),), **settings}))


def test_a_number_signs_members_in_or_pauses_them(tmp_path: Path) -> None:
    found = plan(tmp_path)
    for number, name in (("+15550190", "SignIn"), ("+15550191", "Pause")):
        route = found.decide(number, "+15557000001", datetime.now(UTC))
        assert isinstance(route, Route)
        assert getattr(load_persona(route.persona), "__name__", "") == name


def test_another_way_of_signing_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="must be one of in, out, pause, resume"):
        plan(tmp_path, PLAN.replace("in}", "up}"))


@pytest.mark.parametrize(
    ("queue", "wrong"),
    [
        ({"hours": "someday"}, "queues\\[0\\].hours"),
        ({"hours": "mon-fri"}, "no time zone in common"),
        ({"hours": "mon-fri", "timezone": "Europe/Nowhere"}, "no time zone is called"),
        ({"overflow": {"persona": "clinic.Night"}}, "no dialplan names the persona clinic.Night"),
    ],
)
def test_what_a_queue_takes_from_dialplans_must_be_there(tmp_path: Path, queue: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ConfigError, match=wrong):
        plan(tmp_path, queues=({"name": "desk", **queue},))


@pytest.mark.parametrize(
    ("settings", "wrong"),
    [
        ({"queues": ({"name": "desk", "members": ("anna",)},)}, "no member of `queue_members`"),
        ({"queues": ({"name": "desk"}, {"name": "desk"})}, "named twice"),
        ({"queues": ({"name": "desk", "overflow": {"queue": "desk"}},)}, "not another queue"),
    ],
)
def test_queues_that_contradict_each_other_are_told(settings: dict[str, Any], wrong: str) -> None:
    from gateway.config.checks import contradictions

    made = Settings.model_validate({**SIP, "dialplans": ("a.yaml",), **settings})
    assert any(wrong in text for _, text in contradictions(made))


def test_an_overflow_goes_to_one_place() -> None:
    from pydantic import ValidationError

    from gateway.config.queues import OverflowSettings

    with pytest.raises(ValidationError, match="exactly one"):
        OverflowSettings.model_validate({"queue": "a", "number": "+15551"})
