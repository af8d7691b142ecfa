"""The actions that turn LiveKit SIP's objects into the desired ones. Pure; `apply` performs them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

from telephony.livekit.trunk.objects import DispatchRule, Found, InboundTrunk, OutboundTrunk, SipObject, kind_of
from telephony.livekit.trunk.sip_api import SipObjects

__all__ = ["Action", "Change", "Verb", "apply", "make_plan"]


class Verb(StrEnum):
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    KEEP = "keep"
    LEAVE = "leave"  # not ours


@dataclass(frozen=True, slots=True)
class Change:
    """A changed field of an object, for display."""

    field: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.field}: {self.before} -> {self.after}"


@dataclass(frozen=True, slots=True)
class Action:
    verb: Verb
    thing: SipObject  # the desired object; the current one for DELETE and LEAVE
    id: str = ""  # LiveKit's; empty for CREATE
    changes: tuple[Change, ...] = ()

    @property
    def does_something(self) -> bool:
        return self.verb in (Verb.CREATE, Verb.UPDATE, Verb.DELETE)

    @property
    def fields(self) -> dict[str, str]:
        """The object's fields for display, without passwords."""
        return dict(_described(self.thing))

    def __str__(self) -> str:
        words = f"{self.verb:6}  {kind_of(self.thing):14}  {self.thing.name or '(no name)'}"
        if self.verb is Verb.CREATE:
            return "\n".join([words, *(f"          {name}: {value}" for name, value in self.fields.items())])
        if self.verb is Verb.LEAVE:
            return f"{words}  ({self.id}, not made by Trunkline)"
        return "\n".join(
            [words + (f"  ({self.id})" if self.id else ""), *(f"          {each}" for each in self.changes)]
        )


def make_plan(desired: Iterable[SipObject], found: Iterable[Found]) -> tuple[Action, ...]:
    """Actions in an order that LiveKit accepts: rules are deleted before their trunks and created after them. Only our
    own objects are ever changed or deleted; of two with the same name, one is deleted."""
    wanted = {(type(thing), thing.name): thing for thing in desired}
    actions: list[Action] = []
    for each in found:
        if not each.ours:
            actions.append(Action(Verb.LEAVE, each.thing, each.id))
            continue
        thing = wanted.pop((type(each.thing), each.thing.name), None)
        if thing is None:
            actions.append(Action(Verb.DELETE, each.thing, each.id))
        elif changes := tuple(_changes(each.thing, thing)):
            actions.append(Action(Verb.UPDATE, thing, each.id, changes))
        else:
            actions.append(Action(Verb.KEEP, thing, each.id))
    actions += [Action(Verb.CREATE, thing) for thing in wanted.values()]
    return tuple(sorted(actions, key=_order))


async def apply(plan: Iterable[Action], api: SipObjects, done: Callable[[Action], None] = lambda _: None) -> None:
    """Perform the actions; `done` is called with each. Raises LiveKitError at the first failure; earlier actions
    stay done, and the next plan starts from there."""
    trunk_ids: dict[str, str] = {}
    for action in plan:
        id_ = action.id
        if action.verb is Verb.DELETE:
            await api.delete(action.id, action.thing)
        elif action.verb is Verb.UPDATE:
            await api.update(action.id, action.thing, trunk_ids)
        elif action.verb is Verb.CREATE:
            id_ = await api.create(action.thing, trunk_ids)
        if isinstance(action.thing, InboundTrunk) and action.verb not in (Verb.DELETE, Verb.LEAVE):
            trunk_ids[action.thing.name] = id_
        if action.does_something:
            done(action)


_PHASES: Mapping[type, int] = {InboundTrunk: 0, OutboundTrunk: 1, DispatchRule: 2}


def _order(action: Action) -> tuple[int, int, str]:
    phase = _PHASES[type(action.thing)]
    if action.verb is Verb.DELETE:
        return 0, -phase, action.thing.name
    return (2 if action.verb is Verb.LEAVE else 1), phase, action.thing.name


def _changes(before: SipObject, after: SipObject) -> Iterator[Change]:
    for each in fields(after):
        old, new = getattr(before, each.name), getattr(after, each.name)
        if not each.compare or old == new:
            continue
        if each.name == "password_mark":
            yield Change("password", "another" if old else "none", "new" if new else "none")
        else:
            yield Change(each.name, _text(old), _text(new))


def _described(thing: SipObject) -> Iterator[tuple[str, str]]:
    for each in fields(thing):
        value = getattr(thing, each.name)
        if each.name == "password_mark":
            if value:
                yield "password", "(set)"
        elif each.compare and each.name != "name":
            yield each.name, _text(value)


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(value) or "any"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={text}" for name, text in value.items()) or "none"
    return str(value) if value else "none"
