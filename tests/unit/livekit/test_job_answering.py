"""What an order says about whoever answers reaches a job in a LiveKit room, whose session asks who has."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from gateway.control import Prepare
from gateway.livekit.room_plan import room_metadata
from gateway.livekit_jobs.routing import JobPlan, plan_of_metadata
from telephony.call import CallInfo, Direction

INFO = CallInfo("call-1", Direction.OUTBOUND, "+15550100", "+15550123", "local", variables={"name": "Ada"})


def plan(answering: dict[str, object] | None) -> JobPlan:
    prepared = Prepare("call-1-1", asdict(INFO), str(Path("clinic.py")), "Reminder", "rule", answering=answering)
    found = plan_of_metadata("", room_metadata(prepared))
    assert found is not None
    return found


def test_the_rooms_metadata_says_it() -> None:
    answering = {"message": "Hello {name}", "actions": {"ivr": "hang_up"}}
    assert plan(answering).answering == answering
    assert plan(answering).info.variables == {"name": "Ada"}
    assert JobPlan.from_dict(plan(answering).to_dict()) == plan(answering)


def test_it_may_say_nothing() -> None:
    assert plan(None).answering is None
