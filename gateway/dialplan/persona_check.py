"""Whether a persona would work: its file imports, its tools have schemas, its rules refer to what exists, its voice and
the canned words that it overrides are known."""

from __future__ import annotations

import inspect
import string
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from functools import cached_property
from typing import TYPE_CHECKING

from gateway.config.located_yaml import ConfigError, Problem
from gateway.config.messages import similar
from gateway.config.models import provider_problem
from gateway.config.session import turn_detection_problem
from gateway.dialplan.model import PersonaRef
from gateway.dialplan.persona_lines import lines_of_classes
from gateway.dialplan.personas import load_persona

if TYPE_CHECKING:
    from agent import Agent
    from agent.providers.phrases import Node
    from agent.rules import Intent, Rules

__all__ = ["persona_problems", "persona_warnings"]

_TEXTS = ("instructions", "greeting", "voice", "language")
_OPTIONS = ("silence_ladder", "turn_detection", "expects", "digits", "rules", "canned", "greet", "greet_limit_ms")
_HOOKS = (
    *("on_enter", "on_exit", "on_digit", "on_user_turn_completed", "on_user_silence", "on_call_summary"),
    *("transcription_node", "llm_node", "tts_node"),
)
_HEAR_ENGLISH = {"pocketsphinx", "moonshine"}  # and nothing else


def persona_problems(
    ref: PersonaRef, tts: Iterable[str] = (), hearing: Iterable[tuple[str | None, tuple[str, ...]]] = ()
) -> list[Problem]:
    """Loads the file and creates the persona as a call would; for a factory, which may need resources not available
    now, only how it is called is looked at. The other personas of the file, which it may hand over to, are looked at
    without being made. `tts`: the names of the providers that speak for it. `hearing`: the VAD and the recognisers
    of each rule that leads to it. Everything that is wrong, with its line."""
    from agent.factory import personas_beside

    try:
        maker = load_persona(ref)
    except ConfigError as error:
        return list(error.problems)
    lines = lines_of_classes(ref.file)
    problems: list[Problem] = []
    for cls in personas_beside(maker):
        named = cls is maker
        found = lines.get(cls.__name__, {})
        for attribute, message in (
            *_attributes(cls),
            *_words(cls),
            *_providers(cls),
            *_voice(cls, tts),
            *_turn_detection(cls, hearing),
            *_complaints(cls, made=named),
        ):
            line = found.get(attribute) or found.get("", 0)
            problems.append(Problem(str(ref.file), line, ref.name if named else cls.__name__, message))
    return problems


def persona_warnings(ref: PersonaRef, stt: Iterable[str] = ()) -> list[str]:
    """What works, but perhaps not as it is meant. `stt`: the providers that hear for it."""
    from agent.factory import personas_beside
    from agent.words import CANNED, base_language, speaks

    try:
        maker = load_persona(ref)
    except ConfigError:
        return []
    warnings = []
    for cls in personas_beside(maker):
        lines = lines_of_classes(ref.file).get(cls.__name__, {})
        for name, meant in _misspelt(cls):
            at = lines.get(name) or lines.get("", 0)
            warnings.append(f'{ref.file}:{at}: {cls.__name__}: nothing reads "{name}"; did you mean "{meant}"?')
        if any(True for _ in _attributes(cls)) or not isinstance(vars(cls).get("language", cls.language), str):
            continue
        where = f"{ref.file}:{lines.get('language', 0)}: {cls.__name__}"
        missing = [key for key in CANNED if key not in cls.canned]
        if not speaks(cls.language) and missing:
            warnings.append(
                f'{where}: no canned phrases in "{cls.language}": English ones will be used for '
                f"{', '.join(missing)}; give them in `canned`"
            )
        vendors = {name.partition("/")[0] for name in stt}
        if vendors and vendors <= _HEAR_ENGLISH and cls.language and base_language(cls.language) != "en":
            hear = "hear" if len(vendors) > 1 else "hears"
            warnings.append(
                f'{where}: speaks "{cls.language}", and {" and ".join(sorted(vendors))} {hear} English only'
            )
    return warnings


def _attributes(cls: type[Agent]) -> Iterator[tuple[str, str]]:
    """What would fail only during a call. Properties are trusted."""
    from agent import DigitEntry, Expected
    from agent.rules import Rules

    kinds: dict[str, tuple[tuple[type, ...], str]] = {
        **dict.fromkeys(_TEXTS, ((str,), "text")),
        "silence_ladder": ((bool,), "True or False"),
        "digits": ((DigitEntry, type(None)), "a DigitEntry"),
        "expects": ((Expected, type(None)), "an Expected"),
        "greet_limit_ms": ((int, float, type(None)), "milliseconds"),
        "rules": ((Rules, type(None)), "Rules"),
        "canned": ((Mapping,), "a dict of words"),
    }
    for name, (types, meant) in kinds.items():
        value: object = getattr(cls, name)
        if not isinstance(value, types) and not isinstance(value, property | cached_property):
            yield name, f"{name} must be {meant}, not {_kind(value)}"
    greet: object = cls.greet
    if greet not in (None, "on_media", "on_answer") and not isinstance(greet, property | cached_property):
        yield "greet", f'greet must be "on_media" or "on_answer", not {greet!r}'


def _misspelt(cls: type[Agent]) -> Iterator[tuple[str, str]]:
    """Attributes whose names are close to a persona's: (name, suggestion)."""
    known = [
        *_TEXTS,
        "silence_ladder",
        "turn_detection",
        "expects",
        "greet",
        "greet_limit_ms",
        "digits",
        "rules",
        "canned",
        *_HOOKS,
    ]
    for name in vars(cls):
        if name not in known and not name.startswith("_"):
            near = get_close_matches(name, known, 1, 0.85)
            if near:
                yield name, near[0]


def _kind(value: object) -> str:
    return "a function" if callable(value) else type(value).__name__


def _words(cls: type[Agent]) -> Iterator[tuple[str, str]]:
    from agent.queue_words import QUEUE_WORDS
    from agent.words import CANNED

    canned: object = cls.canned
    known = (*CANNED, *QUEUE_WORDS)
    for key, words in canned.items() if isinstance(canned, Mapping) else ():
        if key not in known:
            yield f"canned.{key}", f'canned: "{key}" is not known{similar(str(key), known)}'
        elif not isinstance(words, str):
            yield f"canned.{key}", f'canned: "{key}" must be text, not {_kind(words)}'


def _providers(cls: type[Agent]) -> Iterator[tuple[str, str]]:
    """A model or a synthesis that the persona names for itself."""
    for part in ("llm", "tts"):
        name = getattr(cls, part)
        if isinstance(name, str) and (wrong := provider_problem(part, name)):
            yield part, wrong


def _voice(cls: type[Agent], tts: Iterable[str]) -> Iterator[tuple[str, str]]:
    from agent.providers.registry import voice_problem

    voice, language = vars(cls).get("voice", cls.voice), vars(cls).get("language", cls.language)
    if not isinstance(voice, str) or not isinstance(language, str):
        return
    if cls.tts is not None:
        tts = (cls.tts,) if isinstance(cls.tts, str) else ()
    at = "voice" if voice else "language"
    specs = list(tts)
    broken = [wrong for spec in specs if (wrong := voice_problem(spec, "", ""))]
    yield from ((at, wrong) for wrong in broken)
    wrongs = [voice_problem(spec, voice, language) for spec in specs]
    if wrongs and all(wrongs) and not broken:  # else one of them speaks so
        yield at, wrongs[-1]


def _turn_detection(
    cls: type[Agent], hearing: Iterable[tuple[str | None, tuple[str, ...]]]
) -> Iterator[tuple[str, str]]:
    own: object = cls.turn_detection
    found = dict.fromkeys(turn_detection_problem(str(own), vad, stt) for vad, stt in hearing) if own is not None else ()
    for problem in found:
        if problem:
            yield "turn_detection", f"turn_detection: {problem}"


def _complaints(cls: type[Agent], *, made: bool) -> Iterator[tuple[str, str]]:
    """`made`: make it, and look at the object; else the class has to do."""
    from agent.rules import Rules
    from agent.tools import collect_tools

    if inspect.isabstract(cls):
        return
    try:
        persona = cls() if made else cls.__new__(cls)
    except Exception as error:  # noqa: BLE001 - the user's code may raise anything
        yield "", f"creating it failed: {type(error).__name__}: {error}"
        return
    try:
        collect_tools(persona)
        tools = set(persona.tools)
    except (TypeError, ValueError) as error:
        yield "", str(error)
        return
    if isinstance(persona.rules, Rules):
        for message in _rules(persona.rules, tools):
            yield "", message


def _rules(rules: Rules, tools: set[str]) -> Iterator[str]:
    for name, slot in rules.slots.items():
        if slot.digits is not None and not 1 <= slot.digits[0] <= slot.digits[1]:
            yield f'slot "{name}": digits must be (least, most)'
    seen: set[str] = set()
    for intent in rules.intents:
        if intent.name in seen:
            yield f'duplicate intent "{intent.name}"'
        seen.add(intent.name)
        yield from _intent(intent, rules, tools)


def _intent(intent: Intent, rules: Rules, tools: set[str]) -> Iterator[str]:
    from agent.providers.phrases import PhraseError, parse_phrase

    which = f'intent "{intent.name}"'
    if not intent.phrases:
        yield f"{which} has no phrases"
    if intent.tool and intent.tool not in tools:
        yield f'{which}: unknown tool "{intent.tool}"; known are: {", ".join(sorted(tools))}'
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
