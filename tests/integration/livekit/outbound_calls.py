"""Shared by tests of calls that the gateway places in LiveKit rooms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from test_gateway_outbound import ask, closed_record

__all__ = ["PERSONA", "ask", "closed_record", "order", "plan"]

PERSONA = """
from agent import Agent

class Reminder(Agent):
    async def on_enter(self, ctx) -> None:
        info = ctx.call.info
        ctx.session.say(f"Hello {info.variables.get('name')}, {info.direction.value} {info.called} {info.caller}.")
"""


def plan(folder: Path) -> dict[str, Any]:
    (folder / "reminder.py").write_text(PERSONA)
    (folder / "plan.yaml").write_text("outbound: [reminder.Reminder]\n")
    return {"dialplans": [str(folder / "plan.yaml")]}


def order(to: str, **more: Any) -> dict[str, Any]:
    return {"to": to, "persona": "reminder.Reminder", **more}
