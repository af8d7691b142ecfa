"""The conversation that `agent.rules.Rules` describe, as a pure machine: messages -> next step.

It is stateless: each reply runs the machine over all messages of the conversation. So a reply that was interrupted,
cancelled or requested again leads to the same state, however much of it was heard.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from agent.chat_context import CUE
from agent.providers._rules_hearing import heard
from agent.providers._rules_match import best_intent, find_value
from agent.providers.base import ChatMessage
from agent.providers.phrases import spoken_digits
from agent.rules import Intent, Rules

__all__ = ["Call", "Failed", "Say", "decide"]

_HELLO = frozenset({"hello", "hi", "hey", "good", "morning", "afternoon", "evening", "there"})
_END_CALL = "end_call"


@dataclass(frozen=True, slots=True)
class Say:
    text: str


@dataclass(frozen=True, slots=True)
class Call:
    """Call a tool. `say_first`: words to say before it."""

    call_id: str
    tool: str
    arguments: Mapping[str, str]
    say_first: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    """A tool failed: `text`, or the persona's own words if it is empty."""

    text: str


@dataclass(frozen=True, slots=True)
class _State:
    """`intent`: the current one; `asking`: the slot asked for; `calling`: the ID of the running tool call; `partial`:
    digits of a number said in pieces."""

    intent: Intent | None = None
    values: Mapping[str, str] = field(default_factory=dict)
    asking: str = ""
    confirming: bool = False
    calling: str = ""
    partial: str = ""


Action = Say | Call | Failed


def decide(rules: Rules, messages: Sequence[ChatMessage]) -> Action:
    """The next step after the last of `messages`; only "user" and "tool" messages count, and whether anything was heard
    between them: the caller may say something while a function runs whose outcome is still due."""
    state = _State()
    action: Action = Say(rules.fallback)
    owed = told = False  # an answer is due and nothing of it was heard; that answer is a function's outcome
    for number, message in enumerate(messages):
        if message.role == "user" and message.name != CUE:
            before, unheard = (state, action), owed
            state, action = _heard(rules, state, message.text, f"rules_{number}")
            if unheard and action == Say(rules.fallback):
                state, action = before  # "okay" or a cough that sounded like a word
            elif unheard and told:
                action = _after(before[1], action)
            else:
                told = False
            owed = True
        elif message.role == "tool" and state.calling and state.intent and message.name in (state.intent.tool, ""):
            state, action = _done(rules, state, message)
            owed = told = True
        elif message.role == "assistant" and message.text and not isinstance(action, Call):
            owed = not _of(message.text, action)
    return action


def _of(heard: str, action: Say | Failed) -> bool:
    """Whether the heard text is this answer or its beginning. A persona's own phrases are unknown here."""
    return not action.text or action.text.startswith(heard[: len(action.text)].rstrip())


def _after(outcome: Action, then: Action) -> Action:
    """A function's outcome, then the answer to the caller's next words."""
    if not isinstance(outcome, Say) or not outcome.text:
        return then
    if isinstance(then, Call):
        return replace(then, say_first=f"{outcome.text} {then.say_first}".strip())
    return replace(then, text=f"{outcome.text} {then.text}".strip())


def _done(rules: Rules, state: _State, message: ChatMessage) -> tuple[_State, Action]:
    intent = state.intent
    assert intent is not None
    if message.is_error:
        return _State(), Failed(intent.on_error)
    if intent.tool == _END_CALL:
        return _State(), Say("")
    reply = intent.reply or "{result}"
    return _State(), Say(_render(reply, {**_shown(rules, state.values), "result": message.text}))


def _heard(rules: Rules, state: _State, text: str, call_id: str) -> tuple[_State, Action]:
    tokens = heard(rules, text)
    state = replace(state, calling="")
    if state.confirming:
        answer = _yes_or_no(rules, tokens)
        if answer is not None:
            return _confirmed(rules, state, answer, call_id)
    if state.asking:
        filled = _fill(rules, state, tokens)
        if filled is not None:
            return _next(rules, filled, call_id)
    match = best_intent(rules, tokens)
    # While something is asked, only a whole phrase changes the subject: single words may belong to the answer.
    if match is not None and (match.exact or not (state.asking or state.confirming)):
        return _next(rules, _State(match.intent, match.values), call_id)
    if state.intent is not None and state.asking:
        slot = rules.slots[state.asking]
        partial = "".join(spoken_digits(tokens)) if slot.digits is not None else ""
        return replace(state, partial=state.partial + partial), Say(slot.retry or slot.prompt)
    if state.intent is not None and state.confirming:
        return state, Say(_render(state.intent.confirm, _shown(rules, state.values)))
    if tokens and all(token in _HELLO for token in tokens):
        return state, Say(rules.hello)
    return _State(), Say(rules.fallback)


def _yes_or_no(rules: Rules, tokens: Sequence[str]) -> bool | None:
    """ "No" wins: "that's not right"."""
    said = set(tokens)
    if said & set(rules.no):
        return False
    return True if said & set(rules.yes) else None


def _confirmed(rules: Rules, state: _State, answer: bool, call_id: str) -> tuple[_State, Action]:
    if not answer:
        return _State(), Say(rules.dropped)
    return _perform(rules, replace(state, confirming=False), call_id)


def _fill(rules: Rules, state: _State, tokens: Sequence[str]) -> _State | None:
    """The state with the requested slot, and any others that were mentioned; None: the requested one was not."""
    assert state.intent is not None
    found = {
        name: value
        for name in state.intent.slots
        if (name == state.asking or name not in state.values)
        and (value := find_value(rules.slots[name], tokens)) is not None
    }
    slot = rules.slots[state.asking]
    if state.asking not in found and slot.digits is not None and state.partial:
        together = state.partial + "".join(spoken_digits(tokens))
        if slot.digits[0] <= len(together) <= slot.digits[1] and together != state.partial:
            found[state.asking] = together
    if state.asking not in found:
        return None
    return replace(state, values={**state.values, **found}, asking="", partial="")


def _next(rules: Rules, state: _State, call_id: str) -> tuple[_State, Action]:
    """Ask for missing slots, then confirm, then act."""
    intent = state.intent
    assert intent is not None
    for name in intent.slots:
        if name not in state.values:
            return replace(state, asking=name, partial=""), Say(
                _render(rules.slots[name].prompt, _shown(rules, state.values))
            )
    if intent.confirm:
        return replace(state, confirming=True), Say(_render(intent.confirm, _shown(rules, state.values)))
    return _perform(rules, state, call_id)


def _perform(rules: Rules, state: _State, call_id: str) -> tuple[_State, Action]:
    intent = state.intent
    assert intent is not None
    if not intent.tool:
        return _State(), Say(_render(intent.reply, _shown(rules, state.values)))
    if intent.tool == _END_CALL:
        first = _render(intent.reply, _shown(rules, state.values))
        return replace(state, calling=call_id), Call(call_id, intent.tool, {}, first)
    return replace(state, calling=call_id), Call(call_id, intent.tool, dict(state.values))


def _shown(rules: Rules, values: Mapping[str, str]) -> dict[str, str]:
    """Values as read out: digits one by one, others by their first name in the rules."""
    shown = {}
    for name, value in values.items():
        said = next((said for said, passed in rules.slots[name].values.items() if passed == value), None)
        shown[name] = said if said is not None else " ".join(value)
    return shown


def _render(template: str, values: Mapping[str, str]) -> str:
    """Only known names are replaced; a literal brace stays."""
    for name, value in values.items():
        template = template.replace(f"{{{name}}}", value)
    return template
