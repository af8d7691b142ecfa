"""Rules applied to a free recogniser's text: sentences that are not among the phrases."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.providers._rules_hearing import compared, heard
from agent.providers._rules_match import best_intent
from agent.rules import Intent, Rules, Slot
from gateway.dialplan import PersonaRef, load_persona

TREE = Path(__file__).parents[3]
TABLE = Rules(
    (
        Intent("table", ("[i'd like] a table for {people} [at {time}]", "book a table"), slots=("people", "time")),
        Intent("size", ("do you have 25 seats",), reply="Yes."),
        Intent("order", ("my order number is {number}",), slots=("number",)),
        Intent("appointment", ("i want an appointment {day}", "an appointment"), slots=("day",)),
    ),
    {
        "people": Slot("?", {"two": "2", "four": "4", "twelve": "12"}),
        "time": Slot("?", {"eight": "20:00", "8:30": "20:30", "nine pm": "21:00"}),
        "number": Slot("?", digits=(5, 5)),
        "day": Slot("?", {"Tuesday": "tue", "Thursday": "thu", "Wednesday": "wed", "Saturday": "sat"}),
    },
)


def understood(rules: Rules, said: str) -> tuple[str, dict[str, str]]:
    match = best_intent(rules, heard(rules, said))
    return ("", {}) if match is None else (match.intent.name, dict(match.values))


@pytest.mark.parametrize(
    ("said", "intent", "values"),
    [
        ("A table for 4 at 8, please.", "table", {"people": "4", "time": "20:00"}),
        ("A table for four at eight.", "table", {"people": "4", "time": "20:00"}),
        ("Um, I'd like a, uh, a table for 12, at 8:30.", "table", {"people": "12", "time": "20:30"}),
        ("Could we get a table for two at 9 p.m.?", "table", {"people": "2", "time": "21:00"}),
        ("TABLE FOR TWO AT 9PM!", "table", {"people": "2", "time": "21:00"}),
        ("Do you have twenty-five seats?", "size", {}),
        ("Do you have 25 seats?", "size", {}),
        ("My order number is 29340.", "order", {"number": "29340"}),
        ("My order number is 2-9-3-4-0.", "order", {"number": "29340"}),
        ("My order number is twenty-nine, three, forty.", "order", {"number": "29340"}),
        ("My order number is 29 3 40.", "order", {"number": "29340"}),
        ("Oh, 29340.", "", {}),
        ("My order number is two nine three for zero.", "order", {"number": "29340"}),
        ("My order number is five five, one one, two.", "order", {"number": "55112"}),
        ("My order number is 11111, no, sorry, I mean 22222.", "order", {"number": "22222"}),
        ("I want an apointment Thurs day.", "appointment", {"day": "thu"}),
        ("I want an appointement on Wensday.", "appointment", {"day": "wed"}),
        ("I wanna, I wanna get an appointment on Tuesday. No, wait, Thursday.", "appointment", {"day": "thu"}),
        ("Make it Saturday. An appointment, I mean.", "appointment", {"day": "sat"}),
        ("I don't want an appointment.", "", {}),
        ("I no longer need an appointment.", "", {}),
        ("That is a disappointment.", "", {}),
    ],
)
def test_free_dictation_is_understood(said: str, intent: str, values: dict[str, str]) -> None:
    assert understood(TABLE, said) == (intent, values)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("4", ["four"]),
        ("25th of May, 25", ["25th", "of", "may", "twenty", "five"]),
        ("007 and 40", ["zero", "zero", "seven", "and", "forty"]),
        ("9:30 a.m.", ["nine", "thirty", "am"]),
        ("I'm Pam", ["i", "am", "pam"]),
        ("the 1st one", ["the", "first", "one"]),
        ("I gotta go, can't stay", ["i", "got", "to", "go", "can", "not", "stay"]),
    ],
)
def test_texts_are_compared_as_they_are_spoken(text: str, tokens: list[str]) -> None:
    assert compared(text) == tokens


def test_a_day_is_never_taken_for_another() -> None:
    days = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday", "today", "yesterday"]
    assert heard(TABLE, " ".join(days)) == days


def test_words_of_the_rules_stay_what_they_are() -> None:
    rules = Rules((Intent("a", ("the bill",)), Intent("b", ("the ball",)), Intent("c", ("booking", "cooking"))))
    said = ["bill", "ball", "bell", "booking", "cooking", "looking"]
    assert heard(rules, " ".join(said)) == said


DEMO = [
    ("clinic.py", "Reception", "Hi, um, I was wondering if I could come in on Thursday afternoon?", "appointment"),
    ("clinic.py", "Reception", "Do you guys have any openings on Tuesday?", "appointment"),
    ("clinic.py", "Reception", "I need to see a doctor as soon as possible.", "appointment"),
    ("clinic.py", "Reception", "Could I make an appointment for my daughter, please?", "appointment"),
    ("clinic.py", "Reception", "I'd like to schedule a visit for tomorrow morning.", "appointment"),
    ("clinic.py", "Reception", "Can I see the doctor on Friday?", "appointment"),
    ("clinic.py", "Reception", "Yeah, that would be great.", "accept"),
    ("clinic.py", "Reception", "Sure, go ahead.", "accept"),
    ("clinic.py", "Reception", "Yes, please do.", "accept"),
    ("clinic.py", "Reception", "Okay, that works for me.", "accept"),
    ("clinic.py", "Reception", "I'll take the first one.", "accept"),
    ("clinic.py", "Reception", "Sounds good.", "accept"),
    ("clinic.py", "Reception", "No, I'd rather not.", "decline"),
    ("clinic.py", "Reception", "Nope.", "decline"),
    ("clinic.py", "Reception", "That doesn't work for me, I'm afraid.", "decline"),
    ("clinic.py", "Reception", "Hey, what time do you guys open?", "hours"),
    ("clinic.py", "Reception", "Until when are you open today?", "hours"),
    ("clinic.py", "Reception", "Could you tell me your opening hours, please?", "hours"),
    ("clinic.py", "Reception", "Um, what's the address?", "place"),
    ("clinic.py", "Reception", "Where exactly are you located?", "place"),
    ("clinic.py", "Reception", "I got an invoice from you and I have a question about it.", "billing"),
    ("clinic.py", "Reception", "It's about the bill I received.", "billing"),
    ("clinic.py", "Reception", "Can I talk to somebody about my invoice?", "billing"),
    ("clinic.py", "Reception", "Okay, that's everything, thanks a lot. Bye-bye.", "goodbye"),
    ("clinic.py", "Reception", "Great, thank you very much, goodbye.", "goodbye"),
    ("clinic.py", "Reception", "That's all, thank you.", "goodbye"),
    ("clinic.py", "Billing", "Yeah, the number is 123456.", "invoice"),
    ("clinic.py", "Billing", "It's twelve, thirty-four, fifty-six.", "invoice"),
    ("clinic.py", "Billing", "Can you put me back to the reception?", "appointment"),
    ("clinic.py", "Billing", "No, that's it, thanks.", "goodbye"),
    ("orders.py", "OrderStatus", "Hi, I'm just wondering where my parcel is.", "status"),
    ("orders.py", "OrderStatus", "I ordered a book last week and it has not arrived. The number is 29340.", "status"),
    ("orders.py", "OrderStatus", "My package still hasn't arrived.", "status"),
    ("orders.py", "OrderStatus", "Can you check the order 4-8-1-1-5 for me?", "status"),
    ("orders.py", "OrderStatus", "Yep.", "again"),
    ("orders.py", "OrderStatus", "No, thanks a lot. Bye!", "goodbye"),
    ("clinic.py", "Reception", "Can I have a large pizza with mushrooms and extra cheese?", ""),
    ("clinic.py", "Reception", "I think I have dialed the wrong number.", ""),
    ("clinic.py", "Reception", "What's the weather like in Paris?", ""),
    ("clinic.py", "Reception", "My brother works in a garage.", ""),
    ("clinic.py", "Billing", "My dog ate the homework.", ""),
    ("orders.py", "OrderStatus", "Do you sell bicycles?", ""),
]  # fmt: skip


@pytest.mark.parametrize(("file", "name", "said", "intent"), DEMO)
def test_the_demo_understands_what_nobody_wrote_down(file: str, name: str, said: str, intent: str) -> None:
    rules = load_persona(PersonaRef(TREE / "dialplans" / file, name))().rules
    assert rules is not None
    assert understood(rules, said)[0] == intent
