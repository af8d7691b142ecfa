from __future__ import annotations

import pytest

from agent.providers.base import Expectations
from agent.providers.g2p import pronounce
from agent.providers.grammar import compile_grammar
from agent.providers.phrases import PhraseError, parse_phrase, spoken_digits, variants, words


@pytest.mark.parametrize(
    ("said", "runs"),
    [
        ("two nine three four oh", ["29340"]),
        ("it is two nine double three oh please", ["29330"]),
        ("29340", ["29340"]),
        ("order 293 four zero", ["29340"]),
        ("triple five then one o one", ["555", "101"]),
        ("oh no", ["0"]),
        ("o dear", []),
        ("a double espresso", []),
        ("", []),
    ],
)
def test_spoken_digits(said: str, runs: list[str]) -> None:
    assert spoken_digits(words(said)) == runs


def test_words_compare_without_case_punctuation_and_contractions() -> None:
    assert words("I'd like THAT, what's-his-name's!") == words("i would like that what is his names")
    assert words("I can’t") == ["i", "can", "not"]


@pytest.mark.parametrize("phrase", ["", "(a|b", "a)", "[a", "(a|)", "()", "a | b", "{", "where {is", "a } b", "[]"])
def test_a_broken_phrase_is_refused_by_name(phrase: str) -> None:
    with pytest.raises(PhraseError) as refused:
        parse_phrase(phrase)
    assert repr(phrase) in str(refused.value)


def test_variants_of_a_phrase() -> None:
    found = {
        " ".join(getattr(p, "text", "") or p.name for p in v)
        for v in variants(parse_phrase("[please] (call|ring) {who}"))
    }
    assert found == {"call who", "ring who", "please call who", "please ring who"}


GRAMMAR = Expectations(
    ("[i'd like] an appointment [on] {day}", "my number is {number}", "(yes|yeah)"),
    {"day": ("monday", "next tuesday")},
    {"number": (3, 4)},
)


@pytest.mark.parametrize(
    ("sentence", "accepted"),
    [
        ("an appointment monday", True),
        ("i'd like an appointment on next tuesday", True),
        ("hello an appointment on monday please", True),
        ("an appointment on tuesday", False),
        ("an appointment", False),
        ("my number is one two three", True),
        ("my number is one two oh four", True),
        ("my number is double two oh four", True),
        ("my number is one two", False),
        ("my number is one two three four five", False),
        ("my number is one two three double five", False),
        ("yeah", True),
        ("", False),
    ],
)
def test_grammar_accepts(sentence: str, accepted: bool) -> None:
    assert compile_grammar(GRAMMAR).accepts(sentence.split()) is accepted


def test_grammar_is_deterministic_and_shares_states() -> None:
    grammar = compile_grammar(Expectations(tuple(f"{n} green bottles" for n in ("one", "two", "three"))), fillers=False)
    assert grammar.states == 4
    assert len(grammar.arcs) == 5
    moves = [(source, word) for source, word, _ in grammar.arcs]
    assert len(moves) == len(set(moves))
    assert compile_grammar(GRAMMAR) == compile_grammar(GRAMMAR)


def test_a_slot_without_values_is_a_run_of_digits() -> None:
    grammar = compile_grammar(Expectations(("{anything}",)), fillers=False)
    assert grammar.accepts(["one", "two", "three", "four", "five", "six", "seven"])
    assert not grammar.accepts(["monday"])


def test_figures_in_phrases_are_said_digit_by_digit() -> None:
    assert compile_grammar(Expectations(("flight 42",)), fillers=False).accepts(["flight", "four", "two"])


@pytest.mark.parametrize(
    ("word", "phones"),
    [
        ("cake", "K EY K"),
        ("trunk", "T R AH NG K"),
        ("phone", "F OW N"),
        ("knight", "N AY T"),
        ("bubble", "B AH B AH L"),
        ("x", "Z"),
        ("zorbly", "Z AO R B L IY"),
        ("123", ""),
        ("日本", ""),
    ],
)
def test_pronunciation_by_rule(word: str, phones: str) -> None:
    assert pronounce(word) == phones
