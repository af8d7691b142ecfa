"""What workers and callers see of each other's messages."""

from __future__ import annotations

import pytest
from edge_world import World, call_request, first_request, sip, statuses, values, worker_request

from telephony.edge.dialogs import DialogState
from telephony.sip.parse import Request


@pytest.mark.parametrize(("status", "shown"), [(200, 200), (488, 488), (401, 403), (407, 403), (302, 488), (500, 500)])
def test_answers_of_callers_are_written_anew_for_the_worker(world: World, status: int, shown: int) -> None:
    world.established()
    world.worker(worker_request("UPDATE", 7))
    asked = first_request(world.to_public())
    more = ("WWW-Authenticate: Digest x", "X-Evil: 1", "Allow: INVITE, ,;", "Session-Expires: 90;refresher=UAC")
    world.caller(world.answer(asked, status, more=more))
    (answer,) = world.to_worker()
    assert not isinstance(answer, Request)
    assert answer.status == shown
    extra = ["Contact: <sip:127.0.0.1:39999>", "Allow: INVITE"]
    assert [line.text for line in answer.lines] == [
        "Via: SIP/2.0/UDP 127.0.0.1:40001;branch=z9hG4bKw7;received=127.0.0.1;rport=40001",
        "From: <sip:+15550199@127.0.0.1:40001>;tag=bob",
        f"To: <sip:+15550123@caller.invalid>;tag={asked_tag(world)}",
        "Call-ID: c1",
        "CSeq: 7 UPDATE",
        *(extra if status == 200 else []),
        "Content-Length: 0",
    ]


def asked_tag(world: World) -> str:
    dialog = world.context.dialogs.of_leg("c1")
    assert dialog is not None
    return dialog.shown.public_tag


def test_what_a_worker_says_reaches_the_caller_by_an_allow_list(world: World) -> None:
    world.caller(call_request())
    invite = first_request(world.to_worker())
    world.public.clear()
    more = ("Allow: INVITE, REFER", "Supported: replaces, timer", "X-Trunkline-Secret: 1", "X-Other: 2", "Server: T")
    world.worker(world.answer(invite, 200, more=more))
    (answer,) = world.to_public()
    assert "X-Trunkline-Secret" not in str(answer.lines) and "X-Other" not in str(answer.lines)
    assert "replaces" not in values(answer, "supported") and "REFER" not in values(answer, "allow")
    assert values(answer, "server") == ["T"]
    assert answer.value("from") == "Alice <sip:+15550123@10.1.2.3>;tag=alice"
    assert answer.value("to") == "<sip:+15550199@192.0.2.1>;tag=bob"


def test_line_breaks_that_only_some_readers_see_make_no_headers(world: World) -> None:
    for number, separator in enumerate(("\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029")):
        more = (f"Subject: a{separator}X-Trunkline-Leg: forged", f'Reason: SIP;text="a{separator}X: 1"')
        world.caller(call_request(call=f"call-{number}", more=more))
        data = world.workers.pop().data
        assert data.count(b"X-Trunkline-Leg") == 1 and b"forged" not in data
        assert (
            len(data.decode().partition("\r\n\r\n")[0].splitlines())
            == data.count(b"\r\n", 0, data.index(b"\r\n\r\n")) + 1
        )


def test_a_bye_tells_its_reason_in_our_words(world: World) -> None:
    world.established()
    reason = 'Reason: Q.850 ;cause=16 ;text="Normal \\"call\\" clearing\u2028X: 1";x=y'
    world.caller(call_request("BYE", cseq=2, to_tag="bob", branch="z9hG4bKb", more=(reason,), body=b""))
    bye = first_request(world.to_worker())
    assert values(bye, "reason") == ['Q.850;cause=16;text="Normal \\"call\\" clearingX: 1"']


@pytest.mark.parametrize(
    ("more", "written"),
    [
        ("Allow: INVITE, ACK,", "Allow: INVITE, ACK"),
        ("Supported: timer,,100rel,replaces", "Supported: 100rel"),
        ("Session-Expires: 1800;", ""),  # the edge's own affair
        ("Session-Expires: 18x", ""),
        ("Min-SE: 90;x", ""),
        ("Expires: 180;x", ""),
        ("Authorization: Bearer abc", ""),
        ("Require: timer", ""),
    ],
)
def test_odd_headers_cost_nobody_the_call(world: World, more: str, written: str) -> None:
    world.caller(call_request(more=(more,)))
    assert statuses(world) == [100]
    plain = {"via", "max-forwards", "from", "to", "call-id", "cseq", "contact", "content-type", "content-length"}
    lines = [line.text for line in first_request(world.to_worker()).lines if line.name not in plain]
    assert lines == ([written] if written else []) + ["X-Trunkline-Leg: c1"]


@pytest.mark.parametrize(
    ("more", "body", "status", "header"),
    [
        (("Require: precondition",), None, 420, "unsupported"),
        (("Content-Type: text/plain",), b"hello", 415, "accept"),
        (("Content-Encoding: gzip",), None, 415, "accept-encoding"),
        ((), b"v=0\r\nnonsense", 400, "warning"),
        ((), b"v=0\r\no=- 1 1 IN IP4 x\r\nc=IN IP4 media.example\r\nm=audio 4 RTP/AVP 0\r\n", 488, "warning"),
        ((), b"v=0\r\no=- 1 1 IN IP4 x\r\nc=IN IP4 10.1.2.3\r\nm=audio 4 RTP/AVP 18\r\n", 488, "warning"),
    ],
)
@pytest.mark.parametrize("again", [False, True], ids=["new call", "re-INVITE"])
def test_what_cannot_be_met_is_refused_before_a_slot_is_taken(
    world: World, more: tuple[str, ...], body: bytes | None, status: int, header: str, again: bool
) -> None:
    how: dict[str, object] = {"more": more} if body is None else {"more": more, "body": body}
    if again:
        world.established()
        how |= {"cseq": 2, "to_tag": "bob", "branch": "z9hG4bKb"}
    admitted = len(world.admitter.invites)
    world.caller(call_request(**how))  # type: ignore[arg-type]  # keyword arguments of call_request
    (answer,) = world.to_public()
    assert not isinstance(answer, Request)
    assert answer.status == status and values(answer, header)
    assert (world.workers, len(world.admitter.invites)) == ([], admitted)
    assert [event.invite.status for event in world.refused] == ([] if again else [status])
    if again:
        assert world.context.dialogs.live()[0].state is DialogState.CONFIRMED


def test_a_stream_that_the_caller_puts_away_is_a_hold_and_comes_back_with_its_port(world: World) -> None:
    head = b"v=0\r\no=- 1 2 IN IP4 x\r\nc=IN IP4 10.1.2.3\r\n"
    world.established()
    for cseq, (offer, shown, answered) in enumerate(
        (
            (b"m=audio 0 RTP/AVP 18\r\n", b"a=inactive\r\n", b"m=audio 0 RTP/AVP 18\r\n"),
            (b"m=audio 4000 RTP/AVP 0\r\n", b"a=sendrecv\r\n", b"m=audio 5000 RTP/AVP 0\r\na=sendrecv\r\n"),
        ),
        start=2,
    ):
        world.caller(call_request(cseq=cseq, to_tag="bob", branch=f"z9hG4bKb{cseq}", body=head + offer))
        invite = first_request(world.to_worker())
        assert shown in invite.body
        own = head + b"m=audio 5000 RTP/AVP 0\r\na=sendrecv\r\n"
        answer = world.answer(invite, 200, more=("Content-Type: application/sdp",))
        world.worker(answer.replace(b"Content-Length: 0\r\n\r\n", b"Content-Length: %d\r\n\r\n" % len(own) + own))
        (response,) = (message for message in world.to_public() if not isinstance(message, Request))
        assert (response.status, response.body) == (200, head + answered)


def test_a_session_description_among_other_parts_is_found(world: World) -> None:
    part = (
        b"--b1\r\nContent-Type: application/isup\r\n\r\n\x01\x02\r\n--b1\r\nContent-Type: application/sdp\r\n\r\n"
        b"v=0\r\no=- 1 1 IN IP4 x\r\nc=IN IP4 10.1.2.3\r\nm=audio 4000 RTP/AVP 8\r\n\r\n--b1--\r\n"
    )
    world.caller(call_request(more=('Content-Type: multipart/mixed; boundary="b1"',), body=part))
    assert b"m=audio 4000 RTP/AVP 8\r\n" in first_request(world.to_worker()).body


def test_an_answer_to_nothing_is_dropped(world: World) -> None:
    world.established()
    world.worker(sip("SIP/2.0 200 OK", "Via: SIP/2.0/UDP 127.0.0.1:39999;branch=z9hG4bKtlx", "From: <sip:a@b>;tag=a",
                     "To: <sip:a@b>;tag=b", "Call-ID: c1", "CSeq: 1 INVITE"))  # fmt: skip
    assert world.public == []


def test_the_caller_gets_its_own_name_back_as_it_wrote_it(world: World) -> None:
    data = call_request().replace(b"From: Alice", b'From: "J\xf6rg\xff"')
    world.caller(data)
    invite = first_request(world.to_worker())
    assert "J" not in invite.value("from")
    world.worker(world.answer(invite, 200))
    assert b'From: "J\xf6rg\xff" <sip:' in world.public[-1].data
    world.public.clear()
    world.worker(worker_request("BYE"))
    assert b'To: "J\xf6rg\xff" <sip:' in world.public[0].data


def test_a_prack_that_fits_nothing_is_481(world: World) -> None:
    world.established()
    world.caller(call_request("PRACK", cseq=2, to_tag="bob", branch="z9hG4bKb", more=("RAck: 07 1  INVITE",), body=b""))
    prack = first_request(world.to_worker())
    assert values(prack, "rack") == ["7 1 INVITE"]
    world.worker(world.answer(prack, 400))
    assert statuses(world) == [481]
