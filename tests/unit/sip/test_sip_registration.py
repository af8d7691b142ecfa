"""A registration on virtual time: refreshed, challenged, refused, moved, ended."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from telephony.errors import TelephonyMisuse
from telephony.sip.digest import Credentials, read_parameters
from telephony.sip.parse import Response, parse
from telephony.sip.registration import (
    Answered,
    Lost,
    Registration,
    RegistrationAction,
    RegistrationPolicy,
    RegistrationState,
    SendRegister,
    StatusChanged,
    answer_of,
    table,
)

BOB = Credentials("bob", "zanzibar")
OK = Answered(200, "OK", granted_s=3600)


def challenge(nonce: str = "n1", more: str = "") -> Answered:
    return Answered(401, "Unauthorized", (f'Digest realm="carrier", nonce="{nonce}", qop="auth"{more}',))


@dataclass
class Line:
    """A registration, and what it requested when."""

    machine: Registration
    now: float = 1000.0
    sent: list[tuple[float, SendRegister]] = field(default_factory=list)
    told: list[StatusChanged] = field(default_factory=list)

    def perform(self, actions: list[RegistrationAction]) -> None:
        for action in actions:
            if isinstance(action, SendRegister):
                self.sent.append((self.now, action))
            else:
                self.told.append(action)

    def start(self) -> None:
        self.perform(self.machine.start(self.now))

    def answer(self, answer: Answered) -> None:
        self.perform(self.machine.answered(answer, self.now))

    def lose(self, *, other_host: bool = False) -> None:
        self.perform(self.machine.lost(Lost("no answer", other_host), self.now))

    def stop(self) -> None:
        self.perform(self.machine.stop(self.now))

    def wait(self) -> float:
        """Wait until the machine is due; returns how long that took."""
        before, self.now = self.now, self.machine.next_at
        assert self.now < math.inf
        self.perform(self.machine.due(self.now))
        return self.now - before

    @property
    def state(self) -> RegistrationState:
        return self.machine.status.state

    @property
    def last(self) -> SendRegister:
        return self.sent[-1][1]


def line(credentials: Credentials | None = BOB, *, random: float = 0.0, **policy: object) -> Line:
    machine = Registration(
        "sip:carrier.example",
        credentials,
        RegistrationPolicy(**policy),  # type: ignore[arg-type]
        lambda: random,
        lambda: "cnonce",
    )
    return Line(machine)


def test_it_is_refreshed_at_a_fraction_of_what_the_registrar_gave() -> None:
    here = line(expiry_s=3600)
    here.start()
    assert here.last == SendRegister(3600, (), new_try=True)
    here.answer(Answered(200, "OK", granted_s=120))
    assert here.state is RegistrationState.REGISTERED
    assert here.machine.status.registered_until == 1120
    assert here.wait() == 90
    assert here.last.expires_s == 3600
    assert here.machine.status.registered_until == 1120  # while it is asked again
    here.answer(Answered(200, "OK", granted_s=60))
    assert here.wait() == 45
    assert len(here.told) == 1  # a refresh is no news


def test_without_a_word_of_expiry_what_was_asked_for_counts() -> None:
    here = line(expiry_s=600)
    here.start()
    here.answer(Answered(200, "OK"))
    assert here.wait() == 450


def test_jitter_comes_from_the_random_source() -> None:
    here = line(random=1.0)
    here.start()
    here.answer(Answered(200, "OK", granted_s=100))
    assert here.wait() == pytest.approx(67.5)
    here.lose()
    assert here.wait() == 2.5


def test_a_challenge_is_answered_and_its_nonce_serves_the_refresh() -> None:
    here = line()
    here.start()
    here.answer(challenge())
    assert read_parameters(here.last.headers[0][1])["nc"] == "00000001"
    here.answer(OK)
    here.wait()
    assert read_parameters(here.last.headers[0][1])["nc"] == "00000002"
    here.answer(challenge("n2"))  # this registrar does not say that the nonce is stale
    assert read_parameters(here.last.headers[0][1])["nonce"] == "n2"
    here.answer(OK)
    assert here.state is RegistrationState.REGISTERED


def test_a_wrong_password_is_tried_once_a_minute_at_most() -> None:
    here = line(first_wait_s=1.0)
    here.start()
    waits = []
    for number in range(12):
        here.answer(challenge(f"a{number}"))
        here.answer(challenge(f"b{number}"))
        assert here.state is RegistrationState.WAITING
        assert here.machine.status.reason == "401 Unauthorized: the credentials were refused"
        waits.append(here.wait())
    assert waits[:7] == [60, 60, 60, 60, 60, 60, 64]
    assert max(waits) == 300
    minutes = [int(at) // 60 for at, sent in here.sent if sent.headers and 'nonce="b' not in str(sent.headers)]
    assert len(minutes) <= 2 * len(set(minutes))


def test_an_endless_line_of_stale_nonces_is_left() -> None:
    here = line()
    here.start()
    for number in range(4):
        here.answer(challenge(f"n{number}", ", stale=true"))
    assert here.state is RegistrationState.WAITING
    assert here.wait() == 60


@pytest.mark.parametrize(
    ("credentials", "challenges", "why"),
    [
        (None, challenge().challenges, "401 Unauthorized: no account is set"),
        (BOB, (), "401 Unauthorized: no challenge"),
        (Credentials("bob", "x", "carrier"), ('Digest realm="evil", nonce="n"',), "no account for realm 'evil'"),
    ],
)
def test_a_challenge_that_cannot_be_answered(
    credentials: Credentials | None, challenges: tuple[str, ...], why: str
) -> None:
    here = line(credentials)
    here.start()
    here.answer(Answered(401, "Unauthorized", challenges))
    assert why in here.machine.status.reason
    assert here.wait() == 60


def test_423_asks_for_longer_and_keeps_to_it() -> None:
    here = line(expiry_s=60)
    here.start()
    here.answer(Answered(423, "Interval Too Brief", min_expires_s=300))
    assert here.last.expires_s == 300
    here.answer(Answered(200, "OK", granted_s=300))
    here.wait()
    assert here.last.expires_s == 300


@pytest.mark.parametrize("least", [None, 30, 10_000_000])
def test_a_423_that_leads_nowhere_is_a_refusal(least: int | None) -> None:
    here = line(expiry_s=60)
    here.start()
    here.answer(Answered(423, "Interval Too Brief", min_expires_s=least))
    assert here.state is RegistrationState.WAITING
    assert len(here.sent) == 1


def test_423_after_423_is_a_refusal() -> None:
    here = line(expiry_s=60)
    here.start()
    for least in (300, 600):
        here.answer(Answered(423, "Interval Too Brief", min_expires_s=least))
    assert here.state is RegistrationState.WAITING


def test_tries_back_off_and_a_success_forgets_that() -> None:
    here = line(first_wait_s=5.0, longest_wait_s=60.0)
    here.start()
    waits = []
    for _ in range(6):
        here.lose()
        waits.append(here.wait())
    assert waits == [5, 10, 20, 40, 60, 60]
    here.answer(OK)
    here.wait()
    here.lose()
    assert here.wait() == 5


@pytest.mark.parametrize("how", ["lost", "503", "408"])
def test_another_host_is_asked_at_once(how: str) -> None:
    here = line()
    here.start()
    if how == "lost":
        here.lose(other_host=True)
    else:
        here.answer(Answered(int(how), "No", other_host=True))
    assert here.last.next_host
    assert here.sent[-1][0] == 1000
    here.answer(challenge())  # the other host asks anew
    assert here.last.headers
    here.answer(OK)
    assert here.state is RegistrationState.REGISTERED


def test_a_refusal_of_the_account_moves_to_no_other_host() -> None:
    here = line()
    here.start()
    here.answer(Answered(403, "Forbidden", other_host=True))
    assert here.state is RegistrationState.WAITING
    assert here.wait() == 60


def test_retry_after_is_heeded() -> None:
    here = line()
    here.start()
    here.answer(Answered(503, "Busy", retry_after_s=120))
    assert here.wait() == 120


def test_what_has_expired_is_told_of() -> None:
    here = line()
    here.start()
    here.answer(Answered(200, "OK", granted_s=20))
    here.wait()
    here.lose()
    assert here.machine.status.registered_until == 1020
    here.wait()  # at 1020 and a little
    assert [changed.status.registered_until for changed in here.told] == [1020, 1020, 0]


def test_it_ends_with_a_deregistration_that_answers_a_challenge() -> None:
    here = line()
    here.start()
    here.answer(OK)
    here.stop()
    assert here.last.expires_s == 0
    here.stop()
    assert len(here.sent) == 2
    here.answer(challenge())
    assert (here.last.expires_s, bool(here.last.headers)) == (0, True)
    here.answer(Answered(200, "OK"))
    assert (here.state, here.machine.status.registered_until, here.machine.next_at) == ("ended", 0, math.inf)
    here.stop()


def test_it_ends_even_if_nobody_answers() -> None:
    here = line()
    here.start()
    here.stop()  # the first REGISTER may yet be accepted
    assert here.last.expires_s == 0
    here.lose()
    assert here.state is RegistrationState.ENDED


def test_what_is_not_registered_is_not_deregistered() -> None:
    here = line()
    here.start()
    here.lose()
    here.stop()
    assert (here.state, len(here.sent)) == (RegistrationState.ENDED, 1)


def test_a_registrar_that_keeps_nothing_is_a_failure() -> None:
    here = line()
    here.start()
    here.answer(Answered(200, "OK", granted_s=0))
    assert here.state is RegistrationState.WAITING


def test_what_is_not_possible_raises() -> None:
    here = line()
    with pytest.raises(TelephonyMisuse, match="2xx is not possible while idle"):
        here.answer(OK)


def response(status: int, *headers: str) -> Response:
    lines = [f"SIP/2.0 {status} Well", "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx", "From: <sip:b@c>;tag=1"]
    lines += ["To: <sip:b@c>;tag=2", "Call-ID: c", "CSeq: 1 REGISTER", *headers, "", ""]
    message = parse("\r\n".join(lines).encode())
    assert isinstance(message, Response)
    return message


@pytest.mark.parametrize(
    ("headers", "granted"),
    [
        (("Contact: <sip:bob@192.0.2.1:5060>;expires=120",), 120),
        (("Contact: <sip:bob@192.0.2.1>;expires=120",), 120),
        (("Contact: <sip:bob@192.0.2.9>;expires=5, <sip:bob@192.0.2.1>;expires=90",), 90),
        (("Contact: <sip:bob@192.0.2.1>", "Expires: 60"), 60),
        (("Contact: <sip:eve@192.0.2.9>;expires=5",), 0),
        (("Expires: 60",), 60),
        ((), None),
        (('Contact: "unbalanced <sip:x>', "Expires: 60"), 0),
    ],
)
def test_what_was_granted_is_read_from_our_own_contact(headers: tuple[str, ...], granted: int | None) -> None:
    found = answer_of(response(200, *headers), "sip:bob@192.0.2.1:5060", other_host=True)
    assert (found.granted_s, found.other_host) == (granted, True)


def test_the_other_fields_of_an_answer() -> None:
    headers = ('WWW-Authenticate: Digest realm="a", nonce="b"', "Min-Expires: 300", "Retry-After: 5 (soon)")
    found = answer_of(response(401, *headers), "sip:bob@192.0.2.1", other_host=False)
    assert (found.challenges, found.min_expires_s, found.retry_after_s) == (('Digest realm="a", nonce="b"',), 300, 5)
    assert answer_of(response(407, *headers), "sip:bob@192.0.2.1", other_host=False).challenges == ()


def test_the_docs_show_the_table_as_it_is() -> None:
    docs = Path(__file__).parents[3] / "docs" / "trunks.md"
    assert table() in docs.read_text(encoding="utf-8")
