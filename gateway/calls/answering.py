"""What counts for one call: the order, over its persona, over the settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

from agent.answering import Answering, AnsweringAction
from telephony.media.answering.model import AnsweredBy

__all__ = ["answering_for"]

_PLAIN = {each.name: each.default for each in fields(Answering) if each.default is not MISSING}


def answering_for(
    order: Mapping[str, Any] | None, persona: Answering | None, settings: Mapping[str, Any]
) -> Answering | None:
    """None: nobody asks who has answered. `order` (with the dialplan's options) and `settings` as
    `gateway.config.answering` writes them. Texts are not filled yet."""
    if not _asked(order, persona, settings):
        return None
    own = {} if persona is None else {name: getattr(persona, name) for name in _PLAIN}
    said = {name: value for name, value in own.items() if value != _PLAIN[name]}
    values = {**_PLAIN, **_values(settings), **said, **_values(order or {}), "detect": True}
    actions = {
        **_actions(settings),
        **(persona.actions if persona is not None else {}),
        **_actions(order or {}),
    }
    return Answering(**values, actions=actions)


def _asked(order: Mapping[str, Any] | None, persona: Answering | None, settings: Mapping[str, Any]) -> bool:
    if order is not None:
        return order.get("detect") is not False
    return persona.detect if persona is not None else settings.get("detect") is True


def _values(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: given[name] for name in _PLAIN if name in given}


def _actions(given: Mapping[str, Any]) -> dict[AnsweredBy, AnsweringAction]:
    return {AnsweredBy(who): AnsweringAction(action) for who, action in given.get("actions", {}).items()}
