"""Phone menus: what they offer, pure; and how an agent uses one, waits on hold and notices a person."""

from __future__ import annotations

import pytest
from answered_calls import Answered, Caller, heard, place, reason, said, told, verdict, words

from agent import Answering
from agent.events import FunctionCall, TaskCompleted
from agent.providers.base import ProviderError, ToolCall
from agent.providers.fakes import FakeLLM, FakeSTT, ModelTurn
from agent.providers.rules import RulesLLM
from agent.turns.hold_words import asks_to_wait
from agent.turns.phone_menu import MenuLoop, MenuOption, key_for, options_of

SALES = "For sales, press 1. For billing, press 2. To speak to a representative, press zero."
GREETING = ("greeting", "Hello, this is Sunrise Clinic.")


def calls(name: str, arguments: str = "{}") -> ModelTurn:
    return ModelTurn((ToolCall("1", name, arguments),))


# --- what is offered --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "keys", "wanted", "key"),
    [
        (SALES, "120", "billing", "2"),
        ("Press 1 for sales, press two for billing or the star key for help.", "12", "billing", "2"),
        ("Para ventas, pulse 1. Para facturas, marque el dos.", "12", "facturas", "2"),
        ("Pour la comptabilité, tapez 3 ; pour les ventes, appuyez sur la touche étoile.", "3*", "comptabilité", "3"),
        ("Für Rechnungen drücken Sie bitte die 4, für Termine wählen Sie die fünf.", "45", "Termine", "5"),
        ("Per le fatture prema il tasto 1, per altro digiti due.", "12", "fatture", "1"),
        ("Para faturas, digite 1. Para falar com um atendente, tecle 9.", "19", "atendente", "9"),
        ("Hello, this is Ada. Who is calling?", "", "ada", ""),
    ],
)
def test_the_options_of_a_menu(text: str, keys: str, wanted: str, key: str):
    options = options_of(text)

    assert "".join(option.key for option in options) == keys
    assert key_for(options, (wanted,)) == key


def test_the_first_wish_that_is_offered_counts_and_only_whole_words():
    options = options_of(SALES)

    assert options[0] == MenuOption("1", "For sales")
    assert key_for(options, ("invoices", "representative", "billing")) == "0"
    assert key_for(options, ("bill",)) == ""
    assert key_for(options, ("", "...")) == ""
    assert key_for((), ("billing",)) == ""


def test_a_menu_heard_three_times_is_a_loop_though_it_is_heard_a_little_otherwise():
    loop = MenuLoop()

    assert not loop.again(SALES)
    assert not loop.again("Welcome to the clinic of Doctor Rook.")
    assert not loop.again("For sales press one. For billing, press 2. To speak to a representative, press zero.")
    assert loop.again(SALES)


def test_short_announcements_may_come_often():
    loop = MenuLoop()

    assert not any(loop.again("Please hold.") for _ in range(9))


@pytest.mark.parametrize(
    ("text", "waits"),
    [
        ("Please hold, all our agents are busy.", True),
        ("Bitte warten Sie.", True),
        ("Ne quittez pas.", True),
        ("Un momento, por favor.", True),
        ("What is your account number?", False),
        ("For sales, press 1.", False),
    ],
)
def test_announcements_that_ask_to_wait(text: str, waits: bool):
    assert asks_to_wait(text) is waits


# --- in a call --------------------------------------------------------------------------------------------------------


def test_the_model_presses_keys_waits_on_hold_and_a_person_is_greeted():
    async def script(phone: Answered) -> None:
        await phone.speak(3000, 2500)
        await phone.speak(2000, 3000)
        await phone.speak(3000, 1000)  # hold music that a recogniser takes for words
        await phone.speak(500, 4000)
        await phone.speak(500, 4000)

    stt = FakeSTT(SALES, "I will put you through.", "la la la love", "Billing, Ada speaking.", "What is it?")
    told_on_hold = ("unknown", ModelTurn(hang=True))  # the person comes by the detector's verdict
    menu = calls("press_keys", '{"keys": "2"}'), calls("wait_on_hold")
    llm = FakeLLM(*menu, *told_on_hold, "It is about an invoice.")
    phone = place(script, verdict(1.0, "ivr"), verdict(16.2, "human", "ivr"), stt=stt, llm=llm)

    assert phone.call.keys == ["2"]
    assert said(phone) == [GREETING, ("reply", "It is about an invoice.")]
    assert heard(phone)[0] == (16.2, 17.2)
    assert told(phone) == [("ivr", "navigate", ""), ("human", "talk", "ivr")]
    assert len(llm.requests) == 5
    assert "automated system" in llm.requests[0].messages[0].text
    assert "You call about an appointment." in llm.requests[0].messages[0].text
    assert {"press_keys", "wait_on_hold", "person_answered", "give_up"} <= set(llm.requests[0].tools)
    assert "automated" not in llm.requests[4].messages[0].text
    assert any("[A person has answered now.]" in message.text for message in llm.requests[4].messages)
    assert words(phone)[2:4] == ["la la la love", "Billing, Ada speaking."]


def test_an_option_that_is_known_is_taken_without_the_model():
    class Known(Caller):
        menu_words = ("billing",)

    async def script(phone: Answered) -> None:
        await phone.speak(3000, 2500)
        await phone.speak(2000, 3000)

    llm = FakeLLM()
    stt = FakeSTT(SALES, "Please hold, all our agents are busy.")
    phone = place(script, verdict(1.0, "ivr"), stt=stt, llm=llm, agent=Known())

    assert (phone.call.keys, llm.requests, heard(phone)) == (["2"], [], [])


def test_a_menu_that_was_over_before_the_verdict_is_answered():
    class Known(Caller):
        menu_words = ("billing",)

    async def script(phone: Answered) -> None:
        await phone.speak(3000, 3000)

    phone = place(script, verdict(4.5, "ivr"), stt=FakeSTT(SALES), agent=Known())

    assert phone.call.keys == ["2"]
    assert [message.text for message in phone.session.history if message.role == "user"] == [SALES]


def test_rules_without_a_known_option_say_and_press_nothing():
    async def script(phone: Answered) -> None:
        for _ in range(3):
            await phone.speak(2000, 2000)
        await phone.closed()

    phone = place(script, verdict(1.0, "ivr"), stt=FakeSTT(default=SALES), llm=RulesLLM())

    assert (phone.call.keys, said(phone), reason(phone)) == ([], [], "ivr")


def test_a_menu_that_comes_again_and_again_is_given_up():
    async def script(phone: Answered) -> None:
        for _ in range(3):
            await phone.speak(2000, 2000)
        await phone.closed()

    llm = FakeLLM(calls("keep_listening"), calls("press_keys", '{"keys": "9"}'))
    phone = place(script, verdict(1.0, "ivr"), stt=FakeSTT(default=SALES), llm=llm)

    assert (phone.call.keys, len(llm.requests), reason(phone)) == (["9"], 2, "ivr")
    assert phone.one(TaskCompleted).result == "given_up"


def test_another_menu_ends_the_hold():
    class Known(Caller):
        menu_words = ("call back",)

    async def script(phone: Answered) -> None:
        await phone.speak(2000, 2000)
        await phone.speak(2000, 2000)
        await phone.speak(2000, 2000)

    stt = FakeSTT("Please hold the line.", "You are number four.", "To get a call back, press 7.")
    llm = FakeLLM()
    phone = place(script, verdict(1.0, "ivr"), stt=stt, llm=llm, agent=Known())

    assert phone.call.keys == ["7"]
    assert [len(request.tools) for request in llm.requests] == [0]  # whether "number four" is a person


def test_on_hold_the_model_tells_a_person_from_an_announcement():
    async def script(phone: Answered) -> None:
        await phone.speak(2000, 2000)
        await phone.speak(2000, 2000)
        await phone.speak(1000, 2000)
        await phone.speak(1000, 2000)

    stt = FakeSTT("Please hold the line.", "You are number four.", "Billing, Ada speaking.", "What is it?")
    llm = FakeLLM("ivr", "human", "It is about an invoice.")
    phone = place(script, verdict(1.0, "ivr"), stt=stt, llm=llm)

    assert said(phone) == [GREETING, ("reply", "It is about an invoice.")]
    assert told(phone) == [("ivr", "navigate", ""), ("human", "talk", "ivr")]
    assert heard(phone)[0][0] == pytest.approx(9.55, abs=0.05)


def test_the_model_notices_a_person_itself():
    async def script(phone: Answered) -> None:
        await phone.speak(1000, 4000)
        await phone.speak(500, 3000)

    llm = FakeLLM(calls("person_answered"), "I am fine.")
    stt = FakeSTT("Clinic, Ada speaking, hello?", "How are you?")
    phone = place(script, verdict(0.5, "ivr"), stt=stt, llm=llm)

    assert said(phone) == [GREETING, ("reply", "I am fine.")]
    assert told(phone) == [("ivr", "navigate", ""), ("human", "talk", "ivr")]


def test_what_a_menu_asks_to_say_is_said():
    async def script(phone: Answered) -> None:
        await phone.speak(1000, 4000)

    phone = place(script, verdict(0.5, "ivr"), stt=FakeSTT("Say your account number."), llm=FakeLLM("Four seven one."))

    assert said(phone) == [("reply", "Four seven one.")]


def test_a_model_that_gives_up_hangs_up():
    async def script(phone: Answered) -> None:
        await phone.speak(1000, 2000)
        await phone.closed()

    phone = place(script, verdict(0.5, "ivr"), stt=FakeSTT("We are closed for good."), llm=FakeLLM(calls("give_up")))

    assert (heard(phone), reason(phone)) == ([], "ivr")


def test_wrong_keys_are_refused_to_the_model():
    async def script(phone: Answered) -> None:
        await phone.speak(1000, 4000)

    llm = FakeLLM(calls("press_keys", '{"keys": "two"}'), calls("press_keys", '{"keys": "2"}'))
    phone = place(script, verdict(0.5, "ivr"), stt=FakeSTT(SALES), llm=llm)

    assert (phone.call.keys, len(phone.of(FunctionCall))) == (["2"], 2)


def test_a_stay_in_menus_has_a_limit():
    async def script(phone: Answered) -> None:
        await phone.closed()

    phone = place(script, verdict(1.0, "ivr"), answering=Answering(menu_limit_s=30.0))

    assert reason(phone) == "ivr"
    assert [phone.since(at) for _, at in phone.call.hung_up] == [pytest.approx(31.0, abs=0.1)]
    assert heard(phone) == []  # nobody is asked whether they are still there


def test_who_hangs_up_on_hold_ends_the_session():
    async def script(phone: Answered) -> None:
        await phone.speak(1000, 3000)
        phone.session.leg_ended()
        await phone.closed()

    phone = place(script, verdict(0.5, "ivr"), stt=FakeSTT("Please hold the line."))

    assert reason(phone) == "leg_ended"


def test_a_voicemail_after_a_menu_is_hung_up_on_without_a_message():
    async def script(phone: Answered) -> None:
        await phone.speak(1000, 3000)
        await phone.closed()

    events = verdict(0.5, "ivr"), verdict(4.0, "voicemail", "ivr")
    phone = place(script, *events, stt=FakeSTT(SALES), llm=FakeLLM(calls("keep_listening")), answering=Answering())

    assert (heard(phone), reason(phone)) == ([], "voicemail")


def test_a_person_comes_while_the_model_is_still_thinking_about_the_menu():
    async def script(phone: Answered) -> None:
        await phone.speak(1000, 3000)
        await phone.wait(4000)

    llm = FakeLLM(ModelTurn(("Something to the menu.",), first_ms=2000))
    phone = place(script, verdict(0.5, "ivr"), verdict(2.0, "human", "ivr"), stt=FakeSTT(SALES), llm=llm)

    assert said(phone) == [GREETING]
    assert heard(phone) == [(2.0, 3.0)]


def test_a_model_that_fails_in_a_menu_does_not_talk_to_it_for_long():
    async def script(phone: Answered) -> None:
        for _ in range(4):
            await phone.speak(1000, 3000)
        await phone.closed()

    llm = FakeLLM(*[ModelTurn(error=ProviderError("fake-llm", "down")) for _ in range(20)])
    stt = FakeSTT("one two three four", default=SALES)
    phone = place(script, verdict(0.5, "ivr"), stt=stt, llm=llm, retries=0)

    assert [kind for kind, _ in said(phone)] == ["farewell"]  # not an apology to each menu
    assert reason(phone) == "error"


def test_a_slow_model_puts_no_filler_into_the_menu():
    async def script(phone: Answered) -> None:
        await phone.speak(1000, 9000)

    llm = FakeLLM(ModelTurn((ToolCall("1", "press_keys", '{"keys": "2"}'),), first_ms=4500))
    phone = place(script, verdict(0.5, "ivr"), stt=FakeSTT(SALES), llm=llm)

    assert (phone.call.keys, heard(phone)) == (["2"], [])


def test_keys_that_cannot_be_sent_are_the_model_s_to_handle():
    class Deaf(Caller):
        menu_words = ("billing",)

    async def script(phone: Answered) -> None:
        async def refuse(digits: str, **given: float) -> None:
            raise RuntimeError("the leg takes no keys")

        phone.call.send_digits = refuse  # type: ignore[method-assign]
        await phone.speak(1000, 4000)
        await phone.closed()

    phone = place(script, verdict(0.5, "ivr"), stt=FakeSTT(SALES), llm=FakeLLM(calls("give_up")), agent=Deaf())

    assert reason(phone) == "ivr"


def test_music_before_the_agent_knows_that_it_is_on_hold_ends_nothing():
    async def script(phone: Answered) -> None:
        for _ in range(20):
            await phone.speak(4000, 1500)

    llm = FakeLLM()
    phone = place(script, verdict(0.5, "ivr"), stt=FakeSTT(default=""), llm=llm)

    assert (heard(phone), llm.requests, reason(phone)) == ([], [], "agent_ended")
