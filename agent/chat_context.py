"""The builder of a model's context. Pure.

For any history, the result is accepted even by strict servers:

- one system message, first; the rest alternates between user and assistant, and ends with user or tool;
- an assistant's calls have one output each, directly after their message and in order; their arguments are a JSON
  object;
- every call has an ID, used once; no message is empty; all text is valid Unicode;
- if an answer was cut off and another follows in the same message, a dash separates them;
- it respects its limits: the oldest turns are left out, whole, with everything that belongs to them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from agent.bounds import shortened
from agent.providers.base import ChatMessage, ToolCall
from agent.speech.characters import valid_text
from agent.tool_arguments import as_object_text, unused_call_id

__all__ = ["CUE", "ContextLimits", "build_context"]

CUE = "cue"  # `name` of a user message that was not spoken
_GO_ON = "(The caller is waiting for you to speak.)"
_LEFT_OUT = "(Earlier parts of this conversation are left out.)"
_MARK = " —"
_ARGUMENTS = 64_000  # characters of one call's arguments


@dataclass(frozen=True, slots=True)
class ContextLimits:
    """Of the conversation, without the system message. `characters`: a token is about four of them."""

    messages: int = 400
    characters: int = 100_000
    message_characters: int = 20_000


@dataclass(slots=True)
class _Block:
    """Messages of one side, or calls with their outputs."""

    role: str
    text: str = ""
    interrupted: bool = False
    name: str = ""
    calls: list[ToolCall] = field(default_factory=list)
    outputs: list[ChatMessage | None] = field(default_factory=list)

    def messages(self) -> list[ChatMessage]:
        if self.role == "user":
            return [ChatMessage("user", self.text, name=self.name)]
        said = ChatMessage("assistant", self.text, tuple(self.calls), interrupted=self.interrupted)
        return [said, *(output for output in self.outputs if output is not None)]


def build_context(
    history: Sequence[ChatMessage],
    *,
    prompt: str = "",
    user: ChatMessage | None = None,
    instructions: str = "",
    limits: ContextLimits | None = ContextLimits(),
) -> list[ChatMessage]:
    """`history` and then `user`, under `prompt`. `instructions` are for this request only; if there is nothing to
    answer, they are the user's message. `limits` None: the whole history."""
    most = limits.message_characters if limits is not None else 0
    recent = _recent(history, limits) if limits is not None else history
    whole = [_valid(message, most) for message in (*recent, *((user,) if user is not None else ()))]
    system = [prompt, *(message.text for message in whole if message.role == "system")]
    blocks = _merged(_with_unique_ids(_blocks(whole)))
    if limits is not None:
        cut = len(recent) < len(history)
        kept = _within(blocks, limits, cut=cut)
        system += [_LEFT_OUT] if cut or kept < len(blocks) else []
        blocks = blocks[len(blocks) - kept :]
    if blocks and (blocks[-1].role == "user" or blocks[-1].calls):
        system.append(instructions)
    else:
        blocks.append(_Block("user", valid_text(instructions).strip() or _GO_ON, name=CUE))
    first = ChatMessage("system", "\n\n".join(valid_text(text).strip() for text in system if text.strip()))
    return [first, *(message for block in blocks for message in block.messages())]


def _valid(message: ChatMessage, most: int) -> ChatMessage:
    text = shortened(message.text, most) if most and message.role != "system" else valid_text(message.text)
    calls = tuple(
        ToolCall(
            valid_text(call.call_id), valid_text(call.name), as_object_text(valid_text(call.arguments[:_ARGUMENTS]))
        )
        for call in message.tool_calls
        if call.name
    )
    call_id = valid_text(message.tool_call_id)
    if (text, calls, call_id) == (message.text, message.tool_calls, message.tool_call_id):
        return message
    return replace(message, text=text, tool_calls=calls, tool_call_id=call_id)


def _blocks(messages: Sequence[ChatMessage]) -> list[_Block]:
    """Calls are placed at their last output; messages from while they ran come before."""
    placed: list[tuple[int, _Block]] = []
    places: dict[int, tuple[int, _Block]] = {}  # of calls
    waiting: dict[str, deque[tuple[_Block, int]]] = {}
    for place, message in enumerate(messages):
        if message.role == "tool":
            if waiting.get(message.tool_call_id):
                block, number = waiting[message.tool_call_id].popleft()
                block.outputs[number] = message
                places[id(block)] = (place, block)
            continue
        if message.role == "system":
            continue
        if message.text.strip():
            name = message.name if message.role == "user" else ""
            placed.append((place, _Block(message.role, message.text.strip(), message.interrupted, name)))
        if message.role == "assistant" and message.tool_calls:
            block = _Block("assistant", calls=list(message.tool_calls), outputs=[None] * len(message.tool_calls))
            for call in message.tool_calls:
                waiting[call.call_id] = deque()  # an older call with this ID gets no more output
            for number, call in enumerate(message.tool_calls):
                waiting[call.call_id].append((block, number))
    return [block for _, block in sorted([*placed, *places.values()], key=lambda one: one[0])]


def _with_unique_ids(blocks: list[_Block]) -> list[_Block]:
    """Calls without output are removed; missing and repeated ids are replaced by new ones."""
    used: set[str] = set()
    for block in blocks:
        pairs = [(call, output) for call, output in zip(block.calls, block.outputs, strict=True) if output is not None]
        block.calls, block.outputs = [], []
        for call, output in pairs:
            call_id = call.call_id if call.call_id and call.call_id not in used else unused_call_id(used)
            used.add(call_id)
            block.calls.append(call if call_id == call.call_id else replace(call, call_id=call_id))
            block.outputs.append(replace(output, tool_call_id=call_id, name=output.name or call.name))
    return blocks


def _merged(blocks: list[_Block]) -> list[_Block]:
    merged: list[_Block] = []
    for block in blocks:
        last = merged[-1] if merged else None
        if last is None or last.role != block.role or last.calls:
            merged.append(block)
        elif block.role == "user":
            last.text = f"{last.text}\n{block.text}"
            last.name = last.name and block.name
        else:
            if block.text:
                mark = _MARK if last.interrupted and last.text else ""
                last.text, last.interrupted = f"{last.text}{mark} {block.text}".strip(), block.interrupted
            last.calls, last.outputs = block.calls, block.outputs
    return merged


def _recent(history: Sequence[ChatMessage], limits: ContextLimits) -> Sequence[ChatMessage]:
    """Only as much of its end as may be needed: the work per request does not grow with the call."""
    characters = 0
    for count, message in enumerate(reversed(history), 1):
        characters += min(len(message.text), limits.message_characters) + 1
        if (characters > limits.characters or count > 2 * limits.messages) and message.role == "user":
            return history[len(history) - count :]
    return history


def _within(blocks: Sequence[_Block], limits: ContextLimits, *, cut: bool) -> int:
    """How many of the last blocks fit, in whole turns of the caller; the last turn always does. `cut`: older ones have
    been removed already."""
    kept = characters = messages = 0
    for count, block in enumerate(reversed(blocks), 1):
        characters += len(block.text) + sum(len(call.arguments) for call in block.calls)
        characters += sum(len(output.text) for output in block.outputs if output is not None)
        messages += 1 + len(block.outputs)
        if kept and (characters > limits.characters or messages > limits.messages):
            return kept
        if block.role == "user":
            kept = count
    return kept if cut and kept else len(blocks)
