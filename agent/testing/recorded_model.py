"""A language model's replies in a real call, and a model that repeats them.

A reply is found by its place in the conversation, not by its number: after which of the caller's messages, and after
how many rounds of tools since. So a repeated request (for example because the caller kept talking) gets the same
answer, and a conversation that takes another course gets none.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from agent.providers.base import ChatMessage, LLMEvent, ProviderBadRequest, TextDelta, ToolCall, ToolSpec
from agent.testing.happened import Happened

__all__ = ["RecordedCall", "RecordedLLM", "RecordedReply", "is_model", "replies_of"]

_NO_MODELS = ("rules", "instant")
_CALL_ENDS = "The call ends"  # the start of end_call's output
_NEVER_S = 3600.0


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """A tool call of the model."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RecordedReply:
    """`after`: messages of the caller before it; `round`: rounds of tools since the last of them."""

    after: int
    round: int
    say: str = ""
    calls: tuple[RecordedCall, ...] = ()


def is_model(names: str) -> bool:
    """Whether any of these providers (`openai | rules`) is not deterministic."""
    return any(name.strip() not in _NO_MODELS for name in names.split("|") if name.strip())


def replies_of(events: Iterable[Happened]) -> tuple[RecordedReply, ...]:
    """The model's replies reconstructed from a call's events. Words that were spoken while a tool ran count as said
    before it when others follow it."""
    replies: list[RecordedReply] = []
    after = round_ = 0
    answered = False  # this round's tools have returned
    for event in events:
        fields = event.fields
        match event.type:
            case "user_message":
                after, round_, answered = after + 1, 0, False
            case "function_call":
                if answered:
                    round_, answered = round_ + 1, False
                call = RecordedCall(str(fields["name"]), dict(fields["arguments"]))
                _add(replies, RecordedReply(after, round_, calls=(call,)))
            case "function_call_output":
                # After the end of the call the model is asked only for a farewell.
                answered = not str(fields["output"]).startswith(_CALL_ENDS)
            case "agent_message" if fields.get("kind") == "reply":
                said = str(fields.get("full_text") or fields["text"])
                _add_words(replies, RecordedReply(after, round_, say=said), answered=answered)
            case "agent_message" if fields.get("kind") == "farewell":
                _add(replies, RecordedReply(after, round_ + 1, say=str(fields.get("full_text") or fields["text"])))
            case _:
                pass
    return tuple(replies)


def _at(replies: Sequence[RecordedReply], after: int, round_: int) -> RecordedReply | None:
    return next((each for each in replies if (each.after, each.round) == (after, round_)), None)


def _add(replies: list[RecordedReply], more: RecordedReply) -> None:
    for index, each in enumerate(replies):
        if (each.after, each.round) == (more.after, more.round):
            replies[index] = replace(each, say=f"{each.say} {more.say}".strip(), calls=(*each.calls, *more.calls))
            return
    replies.append(more)


def _add_words(replies: list[RecordedReply], words: RecordedReply, *, answered: bool) -> None:
    """Words after a round's tools belong to the next round; but if there are two, the first were said with the
    tools."""
    this = _at(replies, words.after, words.round)
    if not answered or this is None:
        _add(replies, words)
        return
    following = _at(replies, words.after, words.round + 1)
    if following is not None and following.say and not this.say:
        replies.remove(following)
        _add(replies, replace(following, round=words.round))
    _add(replies, replace(words, round=words.round + 1))


class RecordedLLM:
    """Repeats the recorded replies."""

    name = "recorded"

    def __init__(self, replies: Iterable[RecordedReply]) -> None:
        self._replies = tuple(replies)

    async def warm(self) -> None:
        """Nothing to load."""

    async def chat(self, messages: Sequence[ChatMessage], tools: Sequence[ToolSpec]) -> AsyncIterator[LLMEvent]:
        """Raises ProviderBadRequest if the recording has no reply. A reply that was not heard at all never arrives."""
        after = sum(message.role == "user" for message in messages)
        since = [index for index, message in enumerate(messages) if message.role == "user"]
        latest = messages[since[-1] + 1 :] if since else messages
        round_ = sum(bool(message.tool_calls) for message in latest)
        reply = _at(self._replies, after, round_)
        if reply is None and any(each.after > after for each in self._replies):
            await asyncio.sleep(_NEVER_S)  # it was not heard: the caller continued before it began
        if reply is None:
            said = "the recording has no reply of the model"
            raise ProviderBadRequest(
                self.name, f"{said} to the caller's message {after} after {round_} rounds of tools"
            )
        if reply.say:
            yield TextDelta(reply.say)
        for number, call in enumerate(reply.calls):
            yield ToolCall(f"call_{after}_{round_}_{number}", call.name, json.dumps(dict(call.arguments)))
