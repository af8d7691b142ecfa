"""Digest as a server: who is accepted, and that recorded answers are useless."""

from __future__ import annotations

import base64
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.sip.digest import Credentials, DigestClient, DigestError, read_parameters
from telephony.sip.digest_server import DigestServer, Verdict

NOW = 1000.0
URI = "sip:+15550100@gw.example"
PASSWORDS = {"bob": "zanzibar"}


def server(**settings: object) -> DigestServer:
    return DigestServer("gw.example", b"k" * 32, **settings)  # type: ignore[arg-type]


def client(password: str = "zanzibar", username: str = "bob") -> DigestClient:
    numbers = count(1)
    return DigestClient(Credentials(username, password), lambda: f"c{next(numbers)}")


def salt(number: int = 1) -> bytes:
    return number.to_bytes(8, "big")


def check(digest: DigestServer, value: str, now: float = NOW, *, method: str = "INVITE", uri: str = URI) -> Verdict:
    return digest.check(value, method=method, uri=uri, now=now, password_of=PASSWORDS.get)


def answer(digest: DigestServer, who: DigestClient | None = None, *, pick: int = 0, at: float = NOW) -> str:
    who = who or client()
    assert who.challenged(401, digest.challenges(at, salt())[pick:])
    return who.answers("INVITE", URI)[0][1]


@pytest.mark.parametrize("pick", [0, 1])
def test_the_right_password_is_let_in_by_each_algorithm(pick: int) -> None:
    digest = server()
    assert check(digest, answer(digest, pick=pick)) == Verdict("bob")


def test_the_strongest_algorithm_is_offered_first() -> None:
    offered = [read_parameters(value)["algorithm"] for value in server().challenges(NOW, salt())]
    assert offered == ["SHA-256", "MD5"]
    assert server(algorithms=("SHA-512-256",)).challenges(NOW, salt())
    with pytest.raises(DigestError):
        server(algorithms=("ROT13",))


@pytest.mark.parametrize("who", [client("wrong"), client(username="eve")])
def test_a_wrong_password_and_an_unknown_user_look_the_same(who: DigestClient) -> None:
    digest = server()
    assert check(digest, answer(digest, who)) == Verdict(reason="wrong user or password")


def test_a_recorded_answer_is_refused_and_the_next_count_is_not() -> None:
    digest, bob = server(), client()
    first = answer(digest, bob)
    second = bob.answers("INVITE", URI)[0][1]
    assert check(digest, second).username == "bob"
    assert check(digest, second) == Verdict(reason="answer was used before", stale=True)
    assert check(digest, first).reason == "answer was used before"  # lower than what was taken
    assert check(digest, bob.answers("INVITE", URI)[0][1]).username == "bob"


def test_a_wrong_answer_uses_up_no_count() -> None:
    digest, bob = server(), client()
    right = answer(digest, bob)
    given = read_parameters(right)
    assert not check(digest, right.replace(given["response"], "0" * 64)).username
    assert check(digest, right).username == "bob"


def test_an_answer_without_qop_counts_once() -> None:
    digest, bob = server(), client()
    old = [value.replace(', qop="auth"', "") for value in digest.challenges(NOW, salt())]
    assert bob.challenged(401, old)
    value = bob.answers("INVITE", URI)[0][1]
    assert "qop" not in value
    assert check(digest, value).username == "bob"
    assert check(digest, value).stale


def test_an_old_nonce_is_stale_and_a_challenge_can_say_so() -> None:
    digest = server(lifetime_s=60.0)
    value = answer(digest)
    assert check(digest, value, NOW + 61) == Verdict(reason="stale nonce", stale=True)
    bob = client()
    assert bob.challenged(401, digest.challenges(NOW + 61, salt(2), stale=True), before=1)
    assert check(digest, bob.answers("INVITE", URI)[0][1], NOW + 62).username == "bob"


def test_an_old_nonce_with_a_wrong_password_is_not_called_stale() -> None:
    digest = server(lifetime_s=60.0)
    assert check(digest, answer(digest, client("wrong")), NOW + 61) == Verdict(reason="wrong user or password")


def test_a_nonce_of_another_key_or_realm_is_not_ours() -> None:
    other = DigestServer("gw.example", b"x" * 32)
    assert check(server(), answer(other)).reason == "unknown nonce"
    elsewhere = DigestServer("else.example", b"k" * 32)
    assert check(server(), answer(elsewhere)).reason == "credentials for another realm"


def test_a_nonce_is_ours_in_one_spelling_only() -> None:
    digest, bob = server(), client()
    (value, *_) = digest.challenges(NOW, salt())
    nonce = read_parameters(value)["nonce"]
    raw = base64.urlsafe_b64decode(nonce + "==")
    others = {nonce + "=", nonce + "==", base64.b64encode(raw).decode(), nonce + "\n"} - {nonce}
    for number, other in enumerate(others):
        assert bob.challenged(401, [f'Digest realm="gw.example", nonce="{other.strip()}", qop="auth"'])
        if other.strip() != nonce:
            assert check(digest, bob.answers("INVITE", URI)[0][1]).reason == "unknown nonce", number


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("qop=auth", "qop=auth-int"), "quality of protection was not offered"),
        (("algorithm=SHA-256", "algorithm=SHA-512-256"), "digest algorithm was not offered"),
        (("nc=00000001", "nc=0000000x"), "wrong user or password"),
        (("username=", "user="), "no username in the credentials"),
        (("Digest", "Bearer"), "unsupported authentication scheme 'Bearer'"),
    ],
)
def test_what_was_not_offered_is_refused(change: tuple[str, str], reason: str) -> None:
    digest = server()
    assert check(digest, answer(digest).replace(*change)) == Verdict(reason=reason)


def test_an_answer_counts_for_its_own_method_and_user() -> None:
    digest = server()
    value = answer(digest)
    assert not check(digest, value, method="BYE").username
    assert check(digest, value, uri="sip:+1900@gw.example").reason == "credentials for another URI"
    assert check(digest, value, uri="sip:+15550100@192.0.2.1:5070").username == "bob"  # a proxy changed the host


def test_what_is_watched_for_replay_is_bounded_and_what_falls_out_counts_no_more() -> None:
    digest = server(remembered=2)
    values = []
    for number in range(4):
        bob = client()
        assert bob.challenged(401, digest.challenges(NOW + number, salt(number)))
        values.append(bob.answers("INVITE", URI)[0][1])
        assert check(digest, values[-1], NOW + number).username == "bob"
    assert [check(digest, value, NOW + 4).reason for value in values] == [
        *("stale nonce", "stale nonce"),
        *("answer was used before", "answer was used before"),
    ]


def test_what_is_too_old_to_count_is_forgotten() -> None:
    digest = server(lifetime_s=60.0)
    value = answer(digest)
    assert check(digest, value).username == "bob"
    digest.expire(NOW + 59)
    assert digest.watched == 1
    digest.expire(NOW + 61)
    assert digest.watched == 0
    assert check(digest, value, NOW + 61).reason == "stale nonce"


@given(st.text())
def test_checking_raises_nothing(text: str) -> None:
    digest = server()
    good = answer(digest)
    for value in (text, f"Digest {text}", good + "," + text, good.replace("nonce=", f'nonce="{text}", x=')):
        check(digest, value)


@given(st.integers(min_value=0, max_value=400))
def test_no_changed_byte_is_let_in(at: int) -> None:
    digest = server()
    value = answer(digest)
    at %= len(value)
    changed = value[:at] + ("A" if value[at] != "A" else "B") + value[at + 1 :]
    verdict = check(digest, changed)
    assert not verdict.username or changed.lower() == value.lower()
