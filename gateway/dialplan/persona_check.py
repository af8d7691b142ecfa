"""Whether a persona would work: its file imports, its tools have schemas, its rules refer to what exists."""

from __future__ import annotations

import string
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gateway.config.located_yaml import ConfigError, Problem
from gateway.dialplan.model import PersonaRef
from gateway.dialplan.personas import classes_in, load_persona

if TYPE_CHECKING:
    from agent import Agent
    from agent.providers.phrases import Node
    from agent.rules import Intent, Rules

__all__ = ["persona_problems"]


def persona_problems(ref: PersonaRef) -> list[Problem]:
    """Loads and makes the persona as a call would. Everything that is wrong, with the line of its class."""
    try:
        cls = load_persona(ref)
    except ConfigError as error:
        return list(error.problems)
    found = classes_in(ref.file)
    line = 0 if isinstance(found, Problem) else found.get(ref.name, 0)
    return [Problem(str(ref.file), line, ref.name, message) for message in _complaints(cls)]


def _complaints(cls: type[Agent]) -> Iterator[str]:
    try:
        persona = cls()
    except Exception as error:  # noqa: BLE001 - the user's code may raise anything
        yield f"cannot be made: {type(error).__name__}: {error}"
        return
    try:
        tools = set(persona.tools)
    except (TypeError, ValueError) as error:
        yield str(error)
        return
    if persona.rules is not None:
        yield from _rules(persona.rules, tools)


def _rules(rules: Rules, tools: set[str]) -> Iterator[str]:
    for name, slot in rules.slots.items():
        if slot.digits is not None and not 1 <= slot.digits[0] <= slot.digits[1]:
            yield f'slot "{name}": digits must be (least, most)'
    seen: set[str] = set()
    for intent in rules.intents:
        if intent.name in seen:
            yield f'two intents are called "{intent.name}"'
        seen.add(intent.name)
        yield from _intent(intent, rules, tools)


def _intent(intent: Intent, rules: Rules, tools: set[str]) -> Iterator[str]:
    from agent.providers.phrases import PhraseError, parse_phrase

    which = f'intent "{intent.name}"'
    if not intent.phrases:
        yield f"{which} has no phrases"
    if intent.tool and intent.tool not in tools:
        yield f'{which}: there is no tool "{intent.tool}"; there are: {", ".join(sorted(tools))}'
    if not intent.tool and not intent.reply:
        yield f"{which} does nothing: it needs a tool or a reply"
    for phrase in intent.phrases:
        try:
            named = set(_slots_in(parse_phrase(phrase)))
        except PhraseError as error:
            yield f"{which}: {error}"
            continue
        for slot in sorted(named - set(rules.slots)):
            yield f'{which}: the phrase "{phrase}" uses slot "{slot}", which is not there'
    for text in (intent.reply, intent.confirm):
        try:
            fields = {field for _, field, _, _ in string.Formatter().parse(text) if field is not None}
        except ValueError as error:
            yield f'{which}: "{text}": {error}'
            continue
        for field in sorted(fields - set(rules.slots) - {"result"}):
            yield f'{which}: "{text}" uses {{{field}}}, which is not there'


def _slots_in(nodes: tuple[Node, ...]) -> Iterator[str]:
    from agent.providers.phrases import Choice, SlotRef

    for node in nodes:
        if isinstance(node, SlotRef):
            yield node.name
        elif isinstance(node, Choice):
            for option in node.options:
                yield from _slots_in(option)
