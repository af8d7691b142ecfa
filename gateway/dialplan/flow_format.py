"""Reads menus, collectors and transfers in a dialplan, and finds everything that is wrong with them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel

from gateway.config.flows import CollectSettings, HangUpSettings, MenuSettings, QueueUpSettings, TransferSettings
from gateway.config.located_yaml import Document, Located
from gateway.config.messages import validate_model
from gateway.dialplan.model import PersonaRef
from gateway.flows import Choice, CollectStep, FlowStep, HangUpStep, MenuStep, PersonaStep, QueueStep, TransferStep
from gateway.outbound.addresses import is_sip, number_of, plain

__all__ = ["FLOW_KEYS", "FlowReader", "Spoken"]

FLOW_KEYS = ("menu", "collect", "transfer", "queue", "hangup")
TARGET_KEYS = ("persona", *FLOW_KEYS)
_LISTED = ", ".join(f"`{key}`" for key in TARGET_KEYS)
_KEY = re.compile(r"[0-9*#]{1,8}")
_SIP = re.compile(r"sip:[^@\s]{1,64}@[^@\s]{1,255}", re.IGNORECASE)

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Spoken:
    """How the group around a step speaks."""

    language: str = "en"
    voice: str = ""

    def within(self, language: str | None, voice: str | None) -> Spoken:
        """A language of its own comes with its own voice."""
        inherited = self.voice if language is None else ""
        return Spoken(language or self.language, inherited if voice is None else voice)


class FlowReader:
    def __init__(self, document: Document, persona: Callable[[Located, Any], PersonaRef | None]) -> None:
        """`persona` looks for one and notes what is wrong."""
        self._document = document
        self._persona = persona

    def step(self, path: Located, kind: str, value: Any, around: Spoken = Spoken()) -> FlowStep | None:
        """`kind`: one of `FLOW_KEYS`, or "persona"; `path` and `value` are those of its key."""
        match kind:
            case "menu":
                return self._menu(path, value, around)
            case "collect":
                return self._collect(path, value, around)
            case "transfer":
                return self._transfer(path, value, around)
            case "queue":
                return self._queue(path, value, around)
            case "hangup":
                return self._hang_up(path, value, around)
        ref = self._persona(path, value)
        return None if ref is None else PersonaStep(str(ref.file), ref.name, ref.where)

    def _target(self, path: Located, value: Any, around: Spoken, *, named: bool = False) -> FlowStep | None:
        """A persona's name, or a group with one target. `named`: it may have a `name` beside it."""
        if not isinstance(value, dict):
            return self.step(path, "persona", value, around)
        given = [key for key in TARGET_KEYS if key in value]
        self._unknown(path, value, (*TARGET_KEYS, *(("name",) if named else ())))
        if len(given) != 1:
            said = f"has {' and '.join(given)}" if given else "leads nowhere"
            self._document.problem(path, f"{said}: it needs exactly one of {_LISTED}")
            return None
        return self.step((*path, given[0]), given[0], value[given[0]], around)

    def _otherwise(self, path: Located, value: Mapping[str, Any], around: Spoken) -> FlowStep | None:
        return self._target((*path, "otherwise"), value["otherwise"], around) if "otherwise" in value else None

    def _options(self, path: Located, model: type[M], value: Any, targets: tuple[str, ...]) -> M | None:
        if not isinstance(value, dict):
            self._document.problem(path, "must be a group of options")
            return None
        return validate_model(
            self._document, path, model, {key: each for key, each in value.items() if key not in targets}
        )

    def _unknown(self, path: Located, value: Mapping[str, Any], known: tuple[str, ...]) -> None:
        for key in value:
            if key not in known:
                self._document.problem((*path, key), f"is not known here; known are {', '.join(known)}")

    # --- the kinds ---------------------------------------------------------------------------------------------

    def _menu(self, path: Located, value: Any, around: Spoken) -> FlowStep | None:
        keys = tuple(key for key in value if _KEY.fullmatch(key)) if isinstance(value, dict) else ()
        found = self._options(path, MenuSettings, value, (*keys, "otherwise"))
        if not isinstance(value, dict):
            return None
        spoken = around if found is None else around.within(found.language, found.voice)
        choices = [self._choice((*path, key), key, value[key], spoken) for key in keys]
        otherwise = self._otherwise(path, value, spoken)
        if not keys:
            self._document.problem(path, 'offers nothing: add keys, as in `"1": clinic.Reception`')
        self._told_apart(path, keys, value)
        if found is None or not keys or None in choices:
            return None
        if found.repeat in keys:
            self._document.problem((*path, "repeat"), f'key "{found.repeat}" is one of the choices')
            return None
        return MenuStep(
            found.say, tuple(each for each in choices if each is not None), otherwise, found.repeat or "",
            found.first_digit_timeout_ms, found.inter_digit_timeout_ms, found.retries, found.say_again or "",
            spoken.language, spoken.voice, self._where(path),
        )  # fmt: skip

    def _choice(self, path: Located, key: str, value: Any, around: Spoken) -> Choice | None:
        name = value.get("name", "") if isinstance(value, dict) else ""
        if not isinstance(name, str) or (isinstance(value, dict) and "name" in value and not name.strip()):
            self._document.problem((*path, "name"), "must be text")
            name = ""
        step = self._target(path, value, around, named=True)
        return None if step is None else Choice(key, step, name.strip())

    def _told_apart(self, path: Located, keys: tuple[str, ...], value: Mapping[str, Any]) -> None:
        names: dict[str, str] = {}
        for key in keys:
            name = str(value[key].get("name", "")).strip().lower() if isinstance(value[key], dict) else ""
            if name and name in names:
                self._document.problem((*path, key, "name"), f'"{name}" is the name of key "{names[name]}" too')
            names.setdefault(name, key)

    def _collect(self, path: Located, value: Any, around: Spoken) -> FlowStep | None:
        found = self._options(path, CollectSettings, value, ("then", "otherwise"))
        if not isinstance(value, dict):
            return None
        spoken = around if found is None else around.within(found.language, found.voice)
        then = self._target((*path, "then"), value["then"], spoken) if "then" in value else None
        otherwise = self._otherwise(path, value, spoken)
        if "then" not in value:
            self._document.problem(path, "leads nowhere: it needs `then`")
        if found is None:
            return None
        if wrong := found.contradiction():
            self._document.problem((*path, wrong[0]), wrong[1])
            return None
        if then is None:
            return None
        return CollectStep(
            found.say, found.variable, found.length or found.least, found.length or found.most, then, otherwise,
            found.terminators, found.first_digit_timeout_ms, found.inter_digit_timeout_ms, found.secret,
            found.confirm, found.retries, found.say_again or "", spoken.language, spoken.voice, self._where(path),
        )  # fmt: skip

    def _transfer(self, path: Located, value: Any, around: Spoken) -> FlowStep | None:
        group = isinstance(value, dict)
        found = self._options(path, TransferSettings, value if group else {"to": value}, ("otherwise",))
        spoken = around if found is None else around.within(found.language, found.voice)
        otherwise = self._otherwise(path, value, spoken) if group else None
        if found is None:
            return None
        if not (_SIP.fullmatch(found.to) if is_sip(found.to) else number_of(found.to)):
            place = (*path, "to") if group else path
            self._document.problem(place, f'"{found.to}" is neither a telephone number nor a SIP address')
            return None
        if found.extension and found.refer == "only":
            self._document.problem((*path, "extension"), "goes without REFER: `refer` is only")
            return None
        return TransferStep(
            plain(found.to), found.say or "", found.trunk or "", found.caller or "", found.ring_timeout_s,
            found.refer, found.extension or "", otherwise, spoken.language, spoken.voice, self._where(path),
        )  # fmt: skip

    def _queue(self, path: Located, value: Any, around: Spoken) -> FlowStep | None:
        group = isinstance(value, dict)
        found = self._options(path, QueueUpSettings, value if group else {"name": value}, ("otherwise",))
        spoken = around if found is None else around.within(found.language, found.voice)
        otherwise = self._otherwise(path, value, spoken) if group else None
        if found is None:
            return None
        return QueueStep(
            found.name, found.say or "", found.priority, found.skills, otherwise, spoken.language, spoken.voice,
            self._where(path),
        )  # fmt: skip

    def _hang_up(self, path: Located, value: Any, around: Spoken) -> FlowStep | None:
        if value is None:
            value = {}
        found = self._options(path, HangUpSettings, value if isinstance(value, dict) else {"say": value}, ())
        if found is None:
            return None
        spoken = around.within(found.language, found.voice)
        return HangUpStep(found.say or "", spoken.language, spoken.voice, self._where(path))

    def _where(self, path: Located) -> str:
        return f"{self._document.file}:{self._document.line(path)}"
