"""Personas for the tests of `trunkline worker`."""

import json
from pathlib import Path

from agent import Agent, RunContext


class Clinic(Agent):
    """You answer the phone of a clinic."""

    greeting = "Sunrise clinic, how can I help?"


class Counting(Agent):
    """You count how often you were restored, and keep a number over it."""

    greeting = "I count."

    def __init__(self) -> None:
        super().__init__()
        self.number = 41

    async def on_enter(self, ctx: RunContext) -> None:
        self.number += 1

    def snapshot(self) -> int:
        return self.number

    def restore(self, data: int) -> None:
        self.number = data
        Path(__file__).with_name("restored.json").write_text(json.dumps(data))


class Broken(Agent):
    """You can't be made."""

    def __init__(self) -> None:
        raise RuntimeError("it can't be made")
