"""Calls that a session places: what is said to whoever answers is synthesised while the phone rings."""

from __future__ import annotations

from agent.answering import Answering
from agent.persona import Agent

__all__ = ["AnswersCalls", "answering_of"]


def answering_of(agent: Agent, order: Answering | None) -> Answering:
    """What counts for a call: the order, and the persona where it leaves something open. Texts are not filled yet."""
    return order.over(agent.answering) if order is not None else agent.answering or Answering()


class AnswersCalls:
    """Commands for calls that we place."""

    async def prepare(self, *, agent: Agent, answering: Answering) -> None:
        """While the phone rings, before `start`: synthesise the greeting and the texts of `answering`, which are
        filled, or load its recording. What is not ready at the answer is synthesised then. Raises OSError or BadWavFile
        for a recording."""
