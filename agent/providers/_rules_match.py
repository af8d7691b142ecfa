"""Which intent a caller's words express, and which values they contain. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agent.providers._rules_hearing import compared, corrected_part, stem
from agent.providers.phrases import Choice, Node, SlotRef, Word, parse_phrase, spoken_digits, variants
from agent.rules import Intent, Rules, Slot

__all__ = ["Match", "best_intent", "find_value"]

_THRESHOLD = 0.6  # least overlap, 0..1
# Words that distinguish intents less than others.
# fmt: off
_LIGHT = frozenset({
    "a", "an", "the", "my", "your", "our", "i", "we", "you", "me", "us", "it", "is", "are", "am", "was", "be", "do",
    "does", "did", "to", "of", "for", "on", "in", "at", "and", "or", "can", "could", "will", "would", "like",
    "want", "need", "have", "has", "please", "get", "some", "any", "this", "that", "with", "about", "hello", "hi",
    "hey", "yes", "there", "just", "okay", "great", "sure", "perfect", "thank", "thanks",
})
# fmt: on
_LIGHT_WEIGHT = 0.2
_LIKE_DIGITS = {"to": "two", "too": "two", "for": "four", "ate": "eight", "won": "one", "tree": "three", "sex": "six"}


@dataclass(frozen=True, slots=True)
class Match:
    intent: Intent
    values: Mapping[str, str]
    exact: bool  # a whole phrase was said, rather than most of its words


def _weight(word: str) -> float:
    return _LIGHT_WEIGHT if word in _LIGHT else 1.0


def find_value(slot: Slot, tokens: Sequence[str]) -> str | None:
    """The slot's value in the utterance, as passed to tools. A self-correction wins, then the
    longest, then the first."""
    corrected = corrected_part(tokens)
    if corrected and (value := find_value(slot, corrected)) is not None:
        return value
    if slot.digits is not None:
        return _digits(tokens, *slot.digits)
    best: tuple[int, str] | None = None
    for said, value in slot.values.items():
        parts = compared(said)
        if parts and _find(parts, tokens) is not None and (best is None or len(parts) > best[0]):
            best = (len(parts), value)
    return best[1] if best else None


def _digits(tokens: Sequence[str], least: int, most: int) -> str | None:
    """A run of digits; if none fits, one without a leading "oh", and with "to" and "for" read as digits."""
    for way in (tokens, tokens[1:] if tokens[:1] == ["oh"] else (), _digits_for_their_likes(tokens)):
        fitting = [run for run in spoken_digits(way) if least <= len(run) <= most]
        if fitting:
            return max(fitting, key=len)
    return None


def _digits_for_their_likes(tokens: Sequence[str]) -> list[str]:
    """Words that sound like a digit count as one between or after digits."""
    found: list[str] = []
    for place, token in enumerate(tokens):
        like = _LIKE_DIGITS.get(token, "")
        before = bool(found) and bool(spoken_digits(found[-1:]))
        after = place + 1 == len(tokens) or bool(spoken_digits(tokens[place + 1 : place + 2]))
        found.append(like if like and before and after else token)
    return found


def _find(parts: Sequence[str], tokens: Sequence[str]) -> int | None:
    for at in range(len(tokens) - len(parts) + 1):
        if list(tokens[at : at + len(parts)]) == list(parts):
            return at
    return None


def best_intent(rules: Rules, tokens: Sequence[str]) -> Match | None:
    """Whole phrases take precedence over overlap; among several, the one with the most words, then the first."""
    values = {name: value for name, slot in rules.slots.items() if (value := find_value(slot, tokens)) is not None}
    best: tuple[tuple[bool, float], Intent] | None = None
    for intent in rules.intents:
        for phrase in intent.phrases:
            nodes = parse_phrase(phrase, compared)
            length = _longest(nodes, tokens, rules)
            rank = (True, length) if length else (False, _overlap(nodes, tokens, values))
            if (rank[0] or rank[1] >= _THRESHOLD) and (best is None or rank > best[0]):
                best = (rank, intent)
    if best is None:
        return None
    rank, intent = best
    return Match(intent, {name: values[name] for name in _mentioned(intent) if name in values}, rank[0])


def _mentioned(intent: Intent) -> list[str]:
    names = dict.fromkeys(intent.slots)
    for phrase in intent.phrases:
        for node in parse_phrase(phrase, compared):
            _collect(node, names)
    return list(names)


def _collect(node: Node, names: dict[str, None]) -> None:
    if isinstance(node, SlotRef):
        names[node.name] = None
    elif isinstance(node, Choice):
        for option in node.options:
            for inner in option:
                _collect(inner, names)


def _longest(nodes: Sequence[Node], tokens: Sequence[str], rules: Rules) -> float:
    """How many of `tokens` the phrase covers if it was said completely; else 0."""
    longest = 0.0
    for start in range(len(tokens)):
        for end in _ends(nodes, tokens, {start}, rules):
            longest = max(longest, sum(_weight(token) for token in tokens[start:end]))
    return longest


def _ends(nodes: Sequence[Node], tokens: Sequence[str], starts: set[int], rules: Rules) -> set[int]:
    """Where the sequence may end if it begins at one of `starts`."""
    at = starts
    for node in nodes:
        if isinstance(node, Word):
            at = {place + 1 for place in at if place < len(tokens) and stem(tokens[place]) == stem(node.text)}
        elif isinstance(node, Choice):
            after = set(at) if node.optional else set()
            for option in node.options:
                after |= _ends(option, tokens, at, rules)
            at = after
        else:
            at = {end for place in at for end in _slot_ends(rules.slots.get(node.name), tokens, place)}
        if not at:
            break
    return at


def _slot_ends(slot: Slot | None, tokens: Sequence[str], start: int) -> set[int]:
    if slot is None:
        return {start + 1} if start < len(tokens) else set()
    if slot.digits is None:
        found = set()
        for said in slot.values:
            parts = compared(said)
            if parts and list(tokens[start : start + len(parts)]) == parts:
                found.add(start + len(parts))
        return found
    least, most = slot.digits
    ends = set()
    for end in range(start + 1, len(tokens) + 1):
        runs = spoken_digits(tokens[start:end])
        if len(runs) == 1 and least <= len(runs[0]) <= most and spoken_digits([tokens[start], "one"]) != ["1"]:
            ends.add(end)
    return ends


def _overlap(nodes: Sequence[Node], tokens: Sequence[str], values: Mapping[str, str]) -> float:
    """The share of the phrase's words that were said, in any order; the best of its variants."""
    said = {stem(token) for token in tokens}
    best = 0.0
    for variant in variants(nodes, limit=32):
        total = matched = 0.0
        heavy = light = missing = 0
        for part in variant:
            weight = 1.0 if isinstance(part, SlotRef) else _weight(part.text)
            there = part.name in values if isinstance(part, SlotRef) else stem(part.text) in said
            total += weight
            matched += weight * there
            heavy += there and weight == 1.0
            light += there and weight < 1.0
            missing += not there
        if heavy > 1 or (heavy and light >= missing):  # a single word of many, or only light words, mean nothing
            best = max(best, matched / total)
    return best
