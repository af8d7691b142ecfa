"""Digest as a client: the RFCs' own examples, and what becomes of each challenge."""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.sip.digest import (
    Credentials,
    DigestClient,
    DigestError,
    parse_challenge,
    read_parameters,
    response_of,
    written,
)

BODY = (
    b"v=0\r\no=bob 2890844526 2890844526 IN IP4 media.biloxi.com\r\ns=-\r\nc=IN IP4 media.biloxi.com\r\nt=0 0\r\n"
    b"m=audio 49170 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\nm=video 51372 RTP/AVP 31\r\na=rtpmap:31 H261/90000\r\n"
    b"m=video 53000 RTP/AVP 32\r\na=rtpmap:32 MPV/90000\r\n"
)
BOB = ("bob", "biloxi.com", "zanzibar")
MUFASA_7616 = ("Mufasa", "http-auth@example.org", "Circle of Life")
NONCE_7616 = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
CNONCE_7616 = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
NONCE = "dcd98b7102dd2f0e8b11d0f600bfb0c093"

# credentials, algorithm, method, URI, nonce, qop, cnonce -> response
EXAMPLES = {
    "RFC 2617 3.5": (("Mufasa", "testrealm@host.com", "Circle Of Life"), "MD5", "GET", "/dir/index.html", NONCE, "auth",
                     "0a4f113b", "6629fae49393a05397450978507c4ef1"),
    "RFC 7616 3.9.1 MD5": (MUFASA_7616, "MD5", "GET", "/dir/index.html", NONCE_7616, "auth", CNONCE_7616,
                           "8ca523f5e9506fed4657c9700eebdbec"),
    "RFC 7616 3.9.1 SHA-256": (MUFASA_7616, "SHA-256", "GET", "/dir/index.html", NONCE_7616, "auth", CNONCE_7616,
                               "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    "RFC 7616 3.9.2, erratum 4897": (
        ("J\u00e4s\u00f8n Doe", "api@example.org", "Secret, or not?"), "SHA-512-256", "GET", "/doe.json",
        "5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK", "auth", "NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v",
        "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5"),
    "sipping-auth-examples 3.1": (BOB, "MD5", "INVITE", "sip:bob@biloxi.com", NONCE, "", "",
                                  "bf57e4e0d0bffc0fbaedce64d59add5e"),
    "sipping-auth-examples 3.3": (BOB, "MD5", "INVITE", "sip:bob@biloxi.com", NONCE, "auth", "0a4f113b",
                                  "89eb0059246c02b2f6ee02c7961d5ea3"),
    "sipping-auth-examples 3.4": (BOB, "MD5-sess", "INVITE", "sip:bob@biloxi.com", NONCE, "auth", "0a4f113b",
                                  "e4e4ea61d186d07a92c9e1f6919902e9"),
    "sipping-auth-examples 3.5": (BOB, "MD5", "INVITE", "sip:bob@biloxi.com", NONCE, "auth-int", "0a4f113b",
                                  "bdbeebb2da6adb6bca02599c2239e192"),
    "sipping-auth-examples 3.6": (BOB, "MD5-sess", "INVITE", "sip:bob@biloxi.com", NONCE, "auth-int", "0a4f113b",
                                  "91984da2d8663716e91554859c22ca70"),
}  # fmt: skip


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_rfcs_own_examples(example: str) -> None:
    credentials, algorithm, method, uri, nonce, qop, cnonce, expected = EXAMPLES[example]
    found = response_of(
        credentials,
        algorithm=algorithm,
        method=method,
        uri=uri,
        nonce=nonce,
        qop=qop,
        count="00000001" if qop else "",
        cnonce=cnonce,
        body=BODY,
    )
    assert found == expected


def client(username: str = "bob", realm: str = "") -> DigestClient:
    numbers = count(1)
    return DigestClient(Credentials(username, "zanzibar", realm), lambda: f"c{next(numbers)}")


def challenge(realm: str = "biloxi.com", nonce: str = "n1", algorithm: str = "MD5", more: str = ', qop="auth"') -> str:
    return f'Digest realm="{realm}", nonce="{nonce}", algorithm={algorithm}{more}'


def test_an_answer_has_what_the_challenge_had_and_counts_up() -> None:
    bob = client()
    assert bob.answers("REGISTER", "sip:biloxi.com") == []
    assert bob.challenged(401, [challenge(more=', qop="auth,auth-int", opaque="o\\"x"')])
    ((name, value),) = bob.answers("REGISTER", "sip:biloxi.com")
    given = read_parameters(value)
    assert name == "Authorization"
    assert given == {
        "username": "bob",
        "realm": "biloxi.com",
        "nonce": "n1",
        "uri": "sip:biloxi.com",
        "algorithm": "MD5",
        "qop": "auth",
        "nc": "00000001",
        "cnonce": "c1",
        "opaque": 'o"x',
        "response": response_of(
            BOB, algorithm="MD5", method="REGISTER", uri="sip:biloxi.com", nonce="n1", qop="auth", count="00000001",
            cnonce="c1"),
    }  # fmt: skip
    assert "qop=auth, nc=00000001" in value  # an answer quotes neither
    ((_, again),) = bob.answers("REGISTER", "sip:biloxi.com")  # the nonce serves further requests
    assert read_parameters(again)["nc"] == "00000002"


def test_the_body_is_signed_where_that_is_all_that_is_offered() -> None:
    bob = client()
    assert bob.challenged(401, [challenge(more=', qop="auth-int"')])
    ((_, value),) = bob.answers("INVITE", "sip:bob@biloxi.com", BODY)
    given = read_parameters(value)
    assert given["qop"] == "auth-int"
    assert given["response"] == response_of(
        BOB, algorithm="MD5", method="INVITE", uri="sip:bob@biloxi.com", nonce="n1", qop="auth-int", count="00000001",
        cnonce="c1", body=BODY)  # fmt: skip


def test_without_qop_there_is_no_count() -> None:
    bob = client()
    assert bob.challenged(401, ['Digest realm="biloxi.com", nonce="n1"'])
    ((_, value),) = bob.answers("REGISTER", "sip:biloxi.com")
    assert {"nc", "cnonce", "qop"} & read_parameters(value).keys() == set()


@pytest.mark.parametrize(
    ("values", "algorithm"),
    [
        ((challenge(algorithm="SHA-256"), challenge()), "SHA-256"),  # the topmost, RFC 8760 section 2.4
        ((challenge(), challenge(algorithm="SHA-256")), "MD5"),
        ((challenge(algorithm="SHA-3"), 'Basic realm="biloxi.com"', challenge(algorithm="SHA-256")), "SHA-256"),
        ((challenge(more=', qop="auth-conf"'), challenge(algorithm="SHA-256")), "SHA-256"),
        ((challenge(realm="elsewhere"), challenge(algorithm="SHA-256")), "SHA-256"),
        (('Digest realm="biloxi.com', challenge(algorithm="SHA-256")), "SHA-256"),
    ],
)
def test_the_topmost_challenge_that_can_be_answered_is(values: tuple[str, ...], algorithm: str) -> None:
    bob = client(realm="biloxi.com")
    assert bob.challenged(401, values)
    assert f"algorithm={algorithm}" in bob.answers("REGISTER", "sip:biloxi.com")[0][1]


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ((), "no challenge"),
        ((challenge(algorithm="SHA-3"),), "unsupported digest algorithm 'SHA-3'"),
        (('Basic realm="x"',), "unsupported authentication scheme 'Basic'"),
        ((challenge(realm="evil"),), "no account for realm 'evil'"),
        ((challenge(more=', qop="auth-conf"'),), "unsupported quality of protection"),
        (('Digest nonce="x"',), "challenge without realm or nonce"),
    ],
)
def test_a_challenge_that_cannot_be_answered_says_why(values: tuple[str, ...], why: str) -> None:
    bob = client(realm="biloxi.com")
    assert not bob.challenged(401, values)
    assert bob.refused == why
    assert bob.answers("REGISTER", "sip:biloxi.com") == []


def test_credentials_that_were_refused_are_not_sent_again() -> None:
    bob = client()
    assert bob.challenged(401, [challenge()])
    bob.answers("REGISTER", "sip:biloxi.com")
    assert not bob.challenged(401, [challenge(nonce="n2")], before=1)
    assert bob.refused == "the credentials were refused"


def test_a_stale_nonce_is_replaced_but_not_for_ever() -> None:
    bob = client()
    stale = challenge(nonce="n2", more=', qop="auth", stale=TRUE')
    assert [bob.challenged(401, [stale], before=before) for before in range(4)] == [True, True, True, False]


def test_a_nonce_that_served_before_may_be_replaced_by_a_server_that_does_not_say_stale() -> None:
    bob = client()
    assert bob.challenged(401, [challenge()])
    bob.answers("REGISTER", "sip:biloxi.com")
    assert bob.challenged(401, [challenge(nonce="n2")])  # of the next request


def test_a_proxy_and_a_registrar_may_both_ask() -> None:
    bob = client()
    assert bob.challenged(407, [challenge(realm="proxy")])
    assert bob.challenged(401, [challenge(nonce="n2")])
    names = [(name, read_parameters(value)["realm"]) for name, value in bob.answers("REGISTER", "sip:biloxi.com")]
    assert names == [("Proxy-Authorization", "proxy"), ("Authorization", "biloxi.com")]


def test_a_password_is_in_no_repr() -> None:
    assert "zanzibar" not in repr(Credentials("bob", "zanzibar"))


@pytest.mark.parametrize(
    "value",
    ['Digest realm="a', "Digest realm", 'Digest realm="a" nonce="b"', 'Digest realm="a", realm="b"', "Digest =x", ""],
)
def test_what_cannot_be_read_raises(value: str) -> None:
    with pytest.raises(DigestError):
        read_parameters(value)


PRINTABLE = st.text(st.characters(min_codepoint=0x20, blacklist_characters="\x7f", blacklist_categories=("Cs",)))


@given(realm=PRINTABLE, opaque=PRINTABLE)
def test_any_text_survives_its_quotes(realm: str, opaque: str) -> None:
    found = parse_challenge(written([("realm", realm), ("nonce", "n"), ("opaque", opaque), ("stale", "true")]))
    assert (found.realm, found.opaque, found.stale) == (realm, opaque, True)


@given(st.text())
def test_reading_raises_nothing_else(text: str) -> None:
    for value in (text, f"Digest {text}", f'Digest realm="r", nonce="n", {text}'):
        try:
            parse_challenge(value)
        except DigestError:
            pass
