"""The machine of a call that we have placed: every state with everything that may happen in it. Pure."""

from __future__ import annotations

import pytest

from agent.answering import Answering, AnsweringAction
from agent.turns.who_answered import (
    AnsweredCall,
    AnswerState,
    Detach,
    Greet,
    HangUp,
    LeaveMenu,
    Navigate,
    SayMessage,
    SayWhoCalls,
    StopTalking,
    TellMessage,
    Undecided,
)
from telephony.media.answering.model import AnsweredBy

WHO = {
    AnsweringAction.TALK: AnsweredBy.HUMAN,
    AnsweringAction.MESSAGE: AnsweredBy.VOICEMAIL,
    AnsweringAction.SAY_WHO_CALLS: AnsweredBy.SCREENER,
    AnsweringAction.NAVIGATE: AnsweredBy.IVR,
    AnsweringAction.HANG_UP: AnsweredBy.FAX,
}
TALK, MESSAGE, SCREEN, NAVIGATE, HANG_UP = WHO


def made(*actions: AnsweringAction, message: str = "Call us.") -> AnsweredCall:
    call = AnsweredCall(Answering(message=message), 0.0)
    for number, action in enumerate(actions):
        call.decided(WHO[action], action, 1.0 + number)
    return call


def in_message() -> AnsweredCall:
    call = made(MESSAGE)
    assert call.message_may_begin("beep") == (SayMessage(),)
    return call


@pytest.mark.parametrize(
    ("action", "state", "actions"),
    [
        (TALK, "talking", (Greet(interrupted=False),)),
        (MESSAGE, "waiting", ()),
        (SCREEN, "screened", (SayWhoCalls(),)),
        (NAVIGATE, "navigating", (Navigate(),)),
        (HANG_UP, "over", (HangUp("fax"),)),
    ],
)
def test_the_first_verdict(action: AnsweringAction, state: str, actions: tuple[object, ...]):
    call = made()

    assert call.decided(WHO[action], action, 1.0) == actions
    assert call.state == state


@pytest.mark.parametrize("before", list(WHO)[:4])
@pytest.mark.parametrize("then", list(WHO))
def test_every_correction_stops_what_is_said_and_does_what_follows(before: AnsweringAction, then: AnsweringAction):
    call = made(before)
    actions = call.decided(WHO[then], then, 3.0)

    if before is then:
        assert actions == ()
        return
    assert (StopTalking() in actions) is (before is not MESSAGE)
    assert (LeaveMenu() in actions) is (before is NAVIGATE)
    wanted = {TALK: Greet(False), SCREEN: SayWhoCalls(), NAVIGATE: Navigate(), HANG_UP: HangUp("fax")}
    assert then is MESSAGE or actions[-1] == wanted[then]


@pytest.mark.parametrize(
    ("then", "why"), [(TALK, "picked_up"), (SCREEN, "corrected"), (NAVIGATE, "corrected"), (HANG_UP, "corrected")]
)
def test_another_verdict_in_the_message(then: AnsweringAction, why: str):
    actions = in_message().decided(WHO[then], then, 5.0)

    assert actions[:2] == (StopTalking(), TellMessage(False, why))
    assert then is not TALK or actions[2:] == (Greet(interrupted=True),)


def test_the_same_verdict_again_changes_nothing_in_the_message():
    call = in_message()

    assert call.decided(AnsweredBy.VOICEMAIL, MESSAGE, 5.0) == ()
    assert call.state is AnswerState.MESSAGE


def test_a_message_that_may_begin_before_it_is_known_that_one_is_left():
    call = made()

    assert call.message_may_begin("beep") == ()
    assert call.decided(AnsweredBy.VOICEMAIL, MESSAGE, 2.0) == (SayMessage(),)
    assert call.message_over(9.0, whole=True) == (TellMessage(True, "beep"), HangUp("voicemail"))


def test_a_greeting_that_goes_on_takes_back_that_the_message_may_begin():
    call = made()
    call.message_may_begin("greeting_end")
    assert call.greeting_goes_on(1.5) == ()
    assert call.decided(AnsweredBy.VOICEMAIL, MESSAGE, 2.0) == ()

    assert call.message_may_begin("beep") == (SayMessage(),)
    assert call.greeting_goes_on(3.0) == (StopTalking(),)
    assert call.message_over(9.0, whole=True) == ()  # of the one that was stopped
    assert call.message_may_begin("limit") == (SayMessage(),)
    assert call.message_over(9.0, whole=True) == (TellMessage(True, "limit"), HangUp("voicemail"))


@pytest.mark.parametrize("state", list(AnswerState))
def test_nothing_follows_once_it_is_over(state: AnswerState):
    call = made()
    call.state = state
    call.leg_gone()

    assert call.decided(AnsweredBy.HUMAN, TALK, 2.0) == ()
    assert call.message_may_begin("beep") == call.greeting_goes_on(2.0) == call.message_over(9.0, whole=True) == ()
    assert call.callee_done(2.0) == call.callee_said("Who is it?", 1.0, 2.0) == call.menu_given_up() == ()
    assert call.leg_gone() == call.detector_lost(2.0) == call.tick(1e9) == ()
    assert call.deadline is None


def test_the_greeting_waits_for_a_person_to_finish_but_not_for_ever():
    call = made()
    call.callee_speaks()
    assert call.decided(AnsweredBy.HUMAN, TALK, 1.0) == ()
    call.callee_pauses()
    assert call.callee_done(2.0) == (Greet(False),)
    assert call.callee_done(3.0) == ()

    call = made()
    call.callee_speaks()
    call.decided(AnsweredBy.HUMAN, TALK, 1.0)
    assert call.deadline == 9.0
    assert call.tick(9.0) == (Greet(False, over=True),)
    assert call.deadline == 21.0
    assert call.tick(21.0) == (Detach(),)
    assert call.deadline is None


def test_a_machine_that_speaks_while_the_greeting_waits_is_never_greeted():
    call = made()
    call.callee_speaks()
    call.decided(AnsweredBy.HUMAN, TALK, 1.0)

    call.decided(AnsweredBy.VOICEMAIL, MESSAGE, 2.0)
    assert call.callee_done(3.0) == ()
    assert call.message_may_begin("beep") == (SayMessage(),)


def test_each_limit():
    call = made()
    assert call.deadline == 20.0
    assert call.tick(19.9) == ()
    assert call.tick(20.0) == (Undecided(),)
    assert made(SCREEN).tick(61.0) == (HangUp("screener"),)
    assert made(NAVIGATE).tick(601.0) == (LeaveMenu(), StopTalking(), HangUp("ivr"))
    assert made(MESSAGE).tick(121.0) == (TellMessage(False, "never_began"), HangUp("voicemail"))
    assert in_message().deadline is None


def test_a_detector_that_is_lost():
    assert made().detector_lost(2.0) == (Undecided(),)
    assert made(TALK).detector_lost(2.0) == ()
    assert made(MESSAGE).detector_lost(2.0) == (SayMessage(),)
    call = made()
    call.callee_speaks()
    call.decided(AnsweredBy.VOICEMAIL, MESSAGE, 1.0)
    assert call.detector_lost(2.0) == ()
    assert call.callee_done(4.0) == (SayMessage(),)


def test_a_screener_that_still_speaks_is_answered_when_it_is_done():
    call = made()
    call.callee_speaks()
    assert call.decided(AnsweredBy.SCREENER, SCREEN, 1.0) == ()
    call.callee_pauses()
    assert call.callee_said("Say your name.", 0.5, 2.0) == ()
    assert call.callee_done(2.0) == (SayWhoCalls(),)

    assert call.callee_said("Say your name.", 0.5, 2.1) == ()  # the words of the same question
    assert call.callee_said("Who is it?", 4.0, 5.0) == (SayWhoCalls(),)
    assert call.callee_said("Who is it?", 7.0, 8.0) == ()
    assert call.callee_said("Please stay on the line.", 9.0, 9.5) == ()


@pytest.mark.parametrize(("action", "told"), [(MESSAGE, True), (TALK, False), (SCREEN, False), (NAVIGATE, False)])
def test_a_leg_that_is_gone(action: AnsweringAction, told: bool):
    assert made(action).leg_gone() == ((TellMessage(False, "hung_up"),) if told else ())
    assert in_message().leg_gone() == (TellMessage(False, "hung_up"),)


def test_a_message_that_failed_is_not_delivered():
    assert in_message().message_over(9.0, whole=False) == (TellMessage(False, "speech_failed"), HangUp("voicemail"))


def test_a_message_that_ends_while_somebody_speaks_is_not_delivered_yet():
    call = in_message()
    call.callee_speaks()
    assert call.message_over(9.0, whole=True) == ()
    assert call.deadline == pytest.approx(11.2)
    assert call.greeting_goes_on(9.6) == (StopTalking(),)  # it had not ended
    call.callee_pauses()
    assert call.callee_done(10.0) == () and call.state is AnswerState.WAITING
    assert call.message_may_begin("beep") == (SayMessage(),)
    assert call.message_over(14.0, whole=True) == (TellMessage(True, "beep"), HangUp("voicemail"))


def test_what_was_short_at_the_message_s_end_was_no_greeting():
    for happens in (lambda call: call.callee_done(9.8), lambda call: call.tick(11.3)):
        call = in_message()
        call.callee_speaks()
        call.message_over(9.0, whole=True)
        assert happens(call) == (TellMessage(True, "beep"), HangUp("voicemail"))


def test_a_person_who_picks_up_at_the_message_s_last_word_is_talked_to():
    call = in_message()
    call.callee_speaks()
    call.message_over(9.0, whole=True)
    call.callee_pauses()
    actions = call.decided(AnsweredBy.HUMAN, TALK, 9.7)
    assert actions == (StopTalking(), TellMessage(False, "picked_up"), Greet(interrupted=True))


def test_who_hangs_up_after_the_message_s_last_word_has_got_it():
    call = in_message()
    call.callee_speaks()
    call.message_over(9.0, whole=True)
    assert call.leg_gone() == (TellMessage(True, "beep"),)


def test_a_message_over_a_greeting_that_never_ended_is_not_delivered():
    call = made(MESSAGE)
    call.callee_speaks()
    assert call.message_may_begin("limit") == (SayMessage(),)
    assert call.message_over(50.0, whole=True) == (TellMessage(False, "limit"), HangUp("voicemail"))


def test_a_greeting_that_breaks_every_message_off_ends_in_time():
    call = made(MESSAGE)
    for at in range(10, 130, 10):
        call.message_may_begin("greeting_end")
        call.greeting_goes_on(float(at))
    assert call.tick(126.0) == (TellMessage(False, "never_began"), HangUp("voicemail"))


def test_without_a_message_nothing_is_left():
    assert made(message="").decided(AnsweredBy.VOICEMAIL, MESSAGE, 1.0) == (HangUp("voicemail"),)


def test_a_menu_that_is_given_up():
    assert made(NAVIGATE).menu_given_up() == (HangUp("ivr"),)
    assert made(TALK).menu_given_up() == ()
