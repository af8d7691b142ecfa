"""What a persona expects to hear, as a finite automaton for a recogniser. Pure.

The automaton is deterministic and minimal, since a recogniser follows all of its paths at once: phrases with the same
beginning or end share states.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from agent.providers.base import Expectations
from agent.providers.phrases import DIGIT_WORDS, Choice, Node, SlotRef, parse_phrase, sounds

__all__ = ["FILLERS", "Grammar", "compile_grammar"]

_ANY_DIGITS = (1, 16)  # of an undefined slot
_MOST_DIGITS = 32
# Said before or after anything, without meaning.
_BEFORE = ("hello", "yes")
_AFTER = ("please", "thank you")
FILLERS = frozenset(word for said in (*_BEFORE, *_AFTER) for word in said.split()) - {"yes"}


@dataclass(frozen=True, slots=True)
class Grammar:
    """States are 0..states-1, 0 is the start. `arcs`: (from, word, to), sorted. `final`: where a sentence may end."""

    states: int
    arcs: tuple[tuple[int, str, int], ...]
    final: frozenset[int]

    @property
    def words(self) -> frozenset[str]:
        return frozenset(word for _, word, _ in self.arcs)

    def accepts(self, sentence: Sequence[str]) -> bool:
        moves = {(source, word): target for source, word, target in self.arcs}
        state: int | None = 0
        for word in sentence:
            state = moves.get((state, word)) if state is not None else None
        return state in self.final


class _Builder:
    """A nondeterministic automaton with empty moves."""

    def __init__(self) -> None:
        self.moves: list[dict[str, set[int]]] = []
        self.empty: list[set[int]] = []

    def state(self) -> int:
        self.moves.append({})
        self.empty.append(set())
        return len(self.moves) - 1

    def word(self, source: int, word: str) -> int:
        target = self.state()
        self.moves[source].setdefault(word, set()).add(target)
        return target

    def words(self, source: int, words: Iterable[str]) -> int:
        for word in words:
            source = self.word(source, word)
        return source

    def join(self, ends: Iterable[int]) -> int:
        target = self.state()
        for end in ends:
            self.empty[end].add(target)
        return target

    def digits(self, source: int, least: int, most: int) -> int:
        """A run of digits; "double five" counts as two of them."""
        most = min(max(most, 1), _MOST_DIGITS)
        at = [source, *(self.state() for _ in range(most))]
        for count in range(most):
            for word in DIGIT_WORDS:
                self.moves[at[count]].setdefault(word, set()).add(at[count + 1])
            if count + 2 <= most:
                doubled = self.word(at[count], "double")
                for word in DIGIT_WORDS:
                    self.moves[doubled].setdefault(word, set()).add(at[count + 2])
        return self.join(at[min(max(least, 1), most) :])

    def closure(self, states: Iterable[int]) -> frozenset[int]:
        found, waiting = set(states), list(states)
        while waiting:
            for target in self.empty[waiting.pop()] - found:
                found.add(target)
                waiting.append(target)
        return frozenset(found)


def compile_grammar(expectations: Expectations, *, fillers: bool = True) -> Grammar:
    """Everything that `expectations` lets a caller say. An undefined slot is a run of digits. `fillers`: "um", "please"
    and the like may surround a phrase. Raises PhraseError."""
    builder = _Builder()
    start = builder.state()
    first = builder.join([start, *(builder.words(start, word.split()) for word in _BEFORE)]) if fillers else start
    ends = [
        _add(builder, first, parse_phrase(phrase, sounds), expectations)
        for phrase in dict.fromkeys(expectations.phrases)
    ]
    last = builder.join(ends)
    if fillers:
        last = builder.join([last, *(builder.words(last, word.split()) for word in _AFTER)])
    return _minimal(*_deterministic(builder, start, last))


def _add(builder: _Builder, source: int, nodes: Sequence[Node], expectations: Expectations) -> int:
    for node in nodes:
        if isinstance(node, Choice):
            ends = [_add(builder, source, option, expectations) for option in node.options]
            source = builder.join([source, *ends] if node.optional else ends)
        elif isinstance(node, SlotRef):
            values = expectations.slots.get(node.name)
            if values:
                source = builder.join(
                    [_add(builder, source, parse_phrase(value, sounds), expectations) for value in values]
                )
            else:
                source = builder.digits(source, *expectations.digits.get(node.name, _ANY_DIGITS))
        else:
            source = builder.word(source, node.text)
    return source


def _deterministic(builder: _Builder, start: int, last: int) -> tuple[list[dict[str, int]], set[int]]:
    """Subset construction: the moves of each state, and the final states."""
    numbers = {builder.closure([start]): 0}
    waiting = list(numbers)
    table: list[dict[str, int]] = []
    final: set[int] = set()
    for subset in waiting:  # grows during iteration
        if last in subset:
            final.add(numbers[subset])
        targets: dict[str, set[int]] = {}
        for state in subset:
            for word, states in builder.moves[state].items():
                targets.setdefault(word, set()).update(states)
        row = {}
        for word in sorted(targets):
            closed = builder.closure(targets[word])
            if closed not in numbers:
                numbers[closed] = len(numbers)
                waiting.append(closed)
            row[word] = numbers[closed]
        table.append(row)
    return table, final


def _minimal(table: Sequence[Mapping[str, int]], final: set[int]) -> Grammar:
    """Moore's algorithm: split the states until those of one group cannot be told apart."""
    group = [int(state in final) for state in range(len(table))]
    while True:
        signatures: dict[tuple[int, tuple[tuple[str, int], ...]], int] = {}
        split = [
            signatures.setdefault((group[state], tuple((w, group[t]) for w, t in row.items())), len(signatures))
            for state, row in enumerate(table)
        ]
        if len(signatures) == len(set(group)):
            break
        group = split
    # `split` numbers groups by their first state, so the start is 0.
    arcs = {(split[state], word, split[target]) for state, row in enumerate(table) for word, target in row.items()}
    return Grammar(len(signatures), tuple(sorted(arcs)), frozenset(split[state] for state in final))
