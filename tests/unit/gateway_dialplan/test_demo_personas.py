"""The personas in dialplans/: their tools, and that an offline recogniser can hear what their rules expect."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

from agent import Agent, AgentSession, EndCall, RunContext
from agent.providers.grammar import compile_grammar
from agent.providers.rules import RulesLLM
from gateway.dialplan import Dialplan, PersonaRef, load_persona

TREE = Path(__file__).parents[3]
WITH_RULES = [("clinic.py", "Reception"), ("clinic.py", "Billing"), ("orders.py", "OrderStatus")]


def persona(file: str, name: str) -> Agent:
    return load_persona(PersonaRef(TREE / "dialplans" / file, name))()


class Session:
    """Records what `AfterHours` asks of its session."""

    def __init__(self):
        self.ended = []

    def end(self, reason, farewell):
        self.ended.append((reason, farewell))


async def at_once(work, *, modelled_ms):
    return work()


async def call(agent: Agent, tool: str, **arguments: str):
    ctx = RunContext(session=Session(), agent=agent, userdata=None)
    return await agent.tools[tool].call(ctx, json.dumps(arguments), at_once)


async def test_an_appointment_is_offered_and_booked():
    reception = persona("clinic.py", "Reception")
    assert (await call(reception, "free_slots", day="tomorrow", part="morning")).output == "9:30, 10:15 and 11:40"
    assert (await call(reception, "book")).output == "tomorrow at 9:30"
    assert (await call(reception, "free_slots", day="tomorrow", part="morning")).output == "10:15 and 11:40"
    assert (await call(reception, "book", day="Tomorrow", time="11:40")).output == "tomorrow at 11:40"


async def test_bookings_end_with_the_call():
    first, second = persona("clinic.py", "Reception"), persona("clinic.py", "Reception")
    await call(first, "free_slots", day="friday", part="afternoon")
    await call(first, "book")
    assert (await call(second, "free_slots", day="friday", part="afternoon")).output == "2:00, 3:30 and 4:45"


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("free_slots", {"day": "today", "part": "morning"}),
        ("free_slots", {"day": "sunday", "part": "morning"}),
        ("free_slots", {"day": "friday", "part": "night"}),
        ("book", {}),
    ],
)
async def test_what_reception_cannot_do_is_an_error_that_a_model_can_read(tool, arguments):
    outcome = await call(persona("clinic.py", "Reception"), tool, **arguments)
    assert outcome.is_error
    assert "internal error" not in outcome.output


async def test_nothing_is_booked_that_was_never_free():
    reception = persona("clinic.py", "Reception")
    await call(reception, "free_slots", day="monday", part="morning")
    assert (await call(reception, "book", time="3:15")).is_error


async def test_no_turns_down_an_offer_and_later_ends_the_call():
    reception = persona("clinic.py", "Reception")
    await call(reception, "free_slots", day="monday", part="morning")
    assert (await call(reception, "caller_says_no")).output == "All right. Which other day would suit you?"
    assert isinstance((await call(reception, "caller_says_no")).value, EndCall)


CONVERSATIONS = [
    (
        "clinic.py",
        "Reception",
        [
            (
                "hello i'd like an appointment tomorrow morning please",
                "For tomorrow morning I have 9:30, 10:15 and 11:40.",
            ),
            ("yes please", "You are booked for tomorrow at 9:30. Is there anything else?"),
            ("no thanks", "Thank you for calling Sunrise Clinic. Goodbye!"),
        ],
    ),
    (
        "clinic.py",
        "Reception",
        [
            ("I need to book an appointment", "Which day would you like?"),
            ("on friday", "Morning or afternoon?"),
            ("the afternoon please", "For Friday afternoon I have 2:00, 3:30 and 4:45. Shall I book the first one?"),
            ("no thank you", "All right. Which other day would suit you?"),
            ("what about today in the morning", "I'm sorry, we have nothing free then. What about another day?"),
            ("what about monday morning", "For Monday morning I have 9:30, 10:15 and 11:40."),
            ("that's perfect", "You are booked for Monday at 9:30. Is there anything else?"),
            ("when are you open", "We are open Monday to Friday, from eight to six."),
            ("no that's all thank you", "Thank you for calling Sunrise Clinic. Goodbye!"),
        ],
    ),
    (
        "clinic.py",
        "Reception",
        [
            ("I have a question about my bill", "One moment, I'll get our billing desk."),
            ("it's one two three four five six", "That invoice is open."),
            ("reception please", "You are back at reception. How can I help?"),
            ("goodbye", "Thank you for calling Sunrise Clinic. Goodbye!"),
        ],
    ),
    (
        "orders.py",
        "OrderStatus",
        [
            ("where's my order", "What is your five digit order number?"),
            ("two nine three four oh", "Order 2 9 3 4 0 was sent on Monday and will be with you tomorrow."),
            ("yes please", "Please say or key in the order number."),
            ("11111", "I can't find that number."),
            ("48115", "Order 4 8 1 1 5 is being packed and goes out today."),
            ("no thanks", "Thank you for calling Corner Books. Goodbye!"),
        ],
    ),
]


@pytest.mark.parametrize(("file", "name", "turns"), CONVERSATIONS)
async def test_a_conversation_by_rules_goes_as_people_expect(file, name, turns):
    session = AgentSession(llm=RulesLLM())
    agent = persona(file, name)
    agent.greeting = ""
    await session.start(agent=agent)
    for said, answer in turns:
        result = await session.run(user_input=said)
        assert result.text.startswith(answer), (said, result.events)
    assert (await session.closed).reason == "agent_ended"


async def test_billing_is_a_handoff_there_and_back():
    billing, words = (await call(persona("clinic.py", "Reception"), "billing_question")).value
    assert (billing.name, "invoice number" in words) == ("Billing", True)
    assert (await call(billing, "invoice_state", invoice="123457")).output == "That invoice is paid. Thank you."
    assert (await call(billing, "invoice_state", invoice="12345")).is_error
    back, _ = (await call(billing, "reception")).value
    assert back.name == "Reception"


async def test_after_hours_ends_the_call_itself():
    after_hours = persona("clinic.py", "AfterHours")
    session = Session()
    await after_hours.on_enter(RunContext(session=session, agent=after_hours, userdata=None))
    ((reason, farewell),) = session.ended
    assert (reason, farewell.endswith("Goodbye!")) == ("agent_ended", True)


async def test_orders_are_looked_up():
    orders = persona("orders.py", "OrderStatus")
    assert (await call(orders, "order_status", order="48115")).output == "is being packed and goes out today"
    assert (await call(orders, "order_status", order="11111")).is_error


@pytest.mark.parametrize(
    ("file", "name", "sentence"),
    [
        ("clinic.py", "Reception", "i'd like an appointment tomorrow morning"),
        ("clinic.py", "Reception", "i'd like to book an appointment please"),
        ("clinic.py", "Reception", "tomorrow morning"),
        ("clinic.py", "Reception", "on friday"),
        ("clinic.py", "Reception", "in the afternoon"),
        ("clinic.py", "Reception", "yes please"),
        ("clinic.py", "Reception", "no thanks"),
        ("clinic.py", "Reception", "what are your opening hours"),
        ("clinic.py", "Reception", "a question about my bill"),
        ("clinic.py", "Reception", "goodbye"),
        ("clinic.py", "Billing", "one two three four five six"),
        ("clinic.py", "Billing", "no thank you"),
        ("orders.py", "OrderStatus", "two nine three four oh"),
        ("orders.py", "OrderStatus", "my order number is two nine three four zero"),
        ("orders.py", "OrderStatus", "where's my order"),
        ("orders.py", "OrderStatus", "no thanks goodbye"),
    ],
)
def test_what_callers_say_is_in_the_grammar(file, name, sentence):
    rules = persona(file, name).rules
    assert rules is not None
    assert compile_grammar(rules.expectations()).accepts(sentence.split())


@pytest.mark.parametrize(("file", "name"), WITH_RULES)
def test_every_word_that_is_listened_for_has_a_pronunciation(file, name):
    spec = importlib.util.find_spec("pocketsphinx")
    assert spec is not None
    assert spec.origin is not None
    lines = (Path(spec.origin).parent / "model" / "en-us" / "cmudict-en-us.dict").read_text().splitlines()
    known = {line.split()[0] for line in lines if line}
    rules = persona(file, name).rules
    assert rules is not None
    assert compile_grammar(rules.expectations()).words - known == set()


def test_greetings_are_short():
    plan = Dialplan.load([TREE / "dialplans" / "demo.yaml"])
    greetings = [load_persona(ref)().greeting for ref in plan.personas]
    assert all(0 < len(re.findall(r"\w+", greeting)) <= 14 for greeting in greetings), greetings


def test_the_measured_persona_says_nothing_unasked():
    instant = load_persona(PersonaRef(TREE / "bench" / "bench_personas.py", "Instant"))()
    assert instant.greeting == ""
