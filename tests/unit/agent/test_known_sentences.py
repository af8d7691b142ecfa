from typing import ClassVar

from agent import Agent
from agent.known_sentences import known_sentences
from agent.rules import Intent, Rules, Slot


class Shop(Agent):
    greeting = "Good morning. It costs $5.20."
    canned: ClassVar = {"goodbye": "See you on 3 May!", "welcome_back": ""}
    rules = Rules(
        intents=(
            Intent("hours", ("when are you open",), reply="From 9 to 5."),
            Intent("order", ("where is {number}",), ("number",), tool="find", reply="It is {result}."),
        ),
        slots={"number": Slot("Which number?", digits=(5, 5))},
        fallback="Pardon?",
    )


def test_they_are_the_pieces_that_the_synthesis_is_given_and_none_that_names_a_value() -> None:
    known = known_sentences(Shop)
    assert known[:2] == ["Good morning.", "It costs 5 dollars and 20 cents."]
    assert {"Which number?", "Pardon?", "See you on 3 May!"} <= set(known)
    assert "One moment, please." in known and "Thank you for calling. Goodbye!" not in known
    assert "" not in known and not any("It is" in text for text in known)


def test_canned_phrases_are_those_of_the_language() -> None:
    class Tienda(Agent):
        language = "es"

    assert "Un momento, por favor." in known_sentences(Tienda)
