"""SDP, dialogs and retransmission, without sockets and on a virtual clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest

from telephony.phone.dialog import Dialog, Received, branch_of, next_hop, respond
from telephony.phone.errors import BadPeerMessage, CallFailed
from telephony.phone.sdp import describe, understand
from telephony.phone.transaction import ClientTransaction, FinalAnswer
from telephony.sip.new_request import NewRequest
from telephony.sip.parse import Request, Response, parse
from telephony.sip.transactions import Timers


class VirtualLoop(asyncio.SelectorEventLoop):
    """Sleeps by setting its clock."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self._selector.select = self._skip  # type: ignore[attr-defined]

    def time(self) -> float:
        return self.now

    def _skip(self, timeout: float | None) -> list[object]:
        self.now += timeout or 0.0
        return []


@pytest.fixture
def run() -> Iterator[Callable[..., None]]:
    loop = VirtualLoop()
    yield loop.run_until_complete
    loop.close()


def test_an_offer_is_understood_by_the_other_side() -> None:
    offer = describe("127.0.0.1", 4000, ["PCMU", "PCMA"], direction="sendonly").decode()
    remote = understand(offer, ["PCMA", "PCMU"])
    assert (remote.host, remote.port, remote.codec.name) == ("127.0.0.1", 4000, "PCMU")  # the offer's order counts
    assert (remote.event_payload_type, remote.direction) == (101, "sendonly")
    assert understand(offer, ["PCMA"]).codec.name == "PCMA"
    v6 = understand(describe("::1", 4000, ["PCMA"]).decode(), ["PCMA"])
    assert (v6.host, v6.direction) == ("::1", "sendrecv")


def test_sdp_without_rtpmap_or_events_and_with_session_direction() -> None:
    text = "v=0\no=- 1 1 IN IP4 10.0.0.1\ns=-\nc=IN IP4 10.0.0.1\nt=0 0\na=inactive\nm=audio 9 RTP/AVP 18 0\n"
    remote = understand(text, ["PCMU"])
    assert (remote.codec.name, remote.event_payload_type, remote.direction) == ("PCMU", None, "inactive")


@pytest.mark.parametrize(
    ("sdp", "message"),
    [
        ("", "invalid SDP"),
        ("v=x\r\n", "invalid SDP"),
        (describe("127.0.0.1", 0, ["PCMU"]).decode(), "no audio"),
        (describe("127.0.0.1", 40, ["PCMA"]).decode(), "none of PCMU"),
    ],
)
def test_sdp_that_cannot_be_used_says_why(sdp: str, message: str) -> None:
    with pytest.raises(BadPeerMessage, match=message):
        understand(sdp, ["PCMU"])


def dialog() -> Dialog:
    return Dialog.outgoing(
        via="SIP/2.0/UDP 127.0.0.1:5070",
        contact="<sip:a@127.0.0.1:5070>",
        caller="<sip:a@x>",
        callee="sip:b@127.0.0.1:5060",
    )


def read(data: object) -> Request:
    message = parse(bytes(data))  # type: ignore[call-overload]
    assert isinstance(message, Request)
    return message


def answer(status: int) -> Response:
    message = parse(respond(Received(read(dialog().request("INVITE")), ("127.0.0.1", 5070)), status, "Well"))
    assert isinstance(message, Response)
    return message


def test_a_dialog_from_invite_to_bye() -> None:
    ours = dialog()
    invite = ours.request("INVITE", body=b"sdp", headers={"X-Campaign": "7"})
    assert invite.uri == "sip:b@127.0.0.1:5060" and next_hop(invite) == ("127.0.0.1", 5060)
    assert invite.value("Content-Type") == "application/sdp" and invite.value("X-Campaign") == "7"
    invite.add("Record-Route", "<sip:p1:5061;lr>")  # as proxies on the way would
    invite.add("Record-Route", "<sip:p2:5062;lr>")
    asked = Received(read(invite), ("127.0.0.1", 5070))
    theirs = Dialog.incoming(asked.message, via="SIP/2.0/UDP 127.0.0.1:5060", contact="<sip:b@127.0.0.1:5060>")
    response = parse(respond(asked, 200, "OK", to_tag=theirs.tag, contact="<sip:b@10.0.0.9:5999>;expires=5"))
    assert isinstance(response, Response) and response.via.branch == branch_of(invite)
    ours.established(response)
    bye = ours.request("BYE")
    assert bye.uri == "sip:b@10.0.0.9:5999" and bye.value("To") == theirs.local
    assert bye.values("Route") == ["<sip:p2:5062;lr>", "<sip:p1:5061;lr>"]
    assert next_hop(bye) == ("p2", 5062)
    assert bye.value("CSeq") == "2 BYE" and branch_of(bye) != branch_of(invite)
    back = theirs.request("BYE")
    assert back.uri == "sip:a@127.0.0.1:5070" and back.value("To") == ours.local
    assert back.values("Route") == ["<sip:p1:5061;lr>", "<sip:p2:5062;lr>"]


def test_cancel_and_the_ack_of_a_failure_belong_to_the_invite() -> None:
    invite = dialog().request("INVITE")
    cancel = Dialog.same_transaction(invite, "CANCEL")
    assert branch_of(cancel) == branch_of(invite) and cancel.value("CSeq") == "1 CANCEL"
    ack = Dialog.same_transaction(invite, "ACK", "<sip:b@x>;tag=t")
    assert (ack.value("To"), ack.value("CSeq")) == ("<sip:b@x>;tag=t", "1 ACK")


def test_broken_messages_are_the_peers_fault() -> None:
    invite = dialog().request("INVITE")
    for contact in ("", "<nonsense>"):
        invite.put("Contact", contact)
        with pytest.raises(BadPeerMessage, match="Contact"):
            Dialog.incoming(read(invite), via="", contact="")
    with pytest.raises(BadPeerMessage, match="not a SIP URI"):
        next_hop(NewRequest("BYE", "tel:+15550100"))


def test_call_failed_tells_what_follows() -> None:
    assert str(CallFailed(503, "Service Unavailable", "full", 5)) == "503 Service Unavailable (full)"
    assert CallFailed(503, "x").retryable and not CallFailed(404, "x").retryable
    assert CallFailed(486, "Busy Here").sip_status == 486


def sent_times(run: Callable[..., None], *, reliable: bool, invite: bool) -> tuple[list[float], list[float]]:
    times: list[float] = []
    gave_up: list[float] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        transaction = ClientTransaction(lambda: times.append(loop.time()), invite=invite, reliable=reliable)
        assert await transaction.final is None
        gave_up.append(loop.time())
        await asyncio.sleep(100)

    run(main())
    return times, gave_up


def test_timer_a_doubles_and_timer_b_gives_up(run: Callable[..., None]) -> None:
    times, gave_up = sent_times(run, reliable=False, invite=True)
    assert times == pytest.approx([0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5])
    assert gave_up == pytest.approx([32])


def test_timer_e_is_bounded_by_t2(run: Callable[..., None]) -> None:
    times, _ = sent_times(run, reliable=False, invite=False)
    assert times == pytest.approx([0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5])


def test_a_reliable_transport_sends_once(run: Callable[..., None]) -> None:
    assert sent_times(run, reliable=True, invite=True) == ([0], pytest.approx([32]))


def test_the_timers_are_its_users(run: Callable[..., None]) -> None:
    gave_up: list[float] = []

    async def main() -> None:
        timers = Timers(t1=0.1, limit_s=1.0)
        assert await ClientTransaction(lambda: None, invite=True, reliable=False, timers=timers).final is None
        gave_up.append(asyncio.get_running_loop().time())

    run(main())
    assert gave_up == pytest.approx([1.0])


def test_a_final_answer_is_sent_until_its_ack_or_until_nobody_waits(run: Callable[..., None]) -> None:
    times: list[float] = []
    gave_up: list[float] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()

        def answer() -> FinalAnswer:
            return FinalAnswer(
                200, lambda: times.append(loop.time()), lambda: gave_up.append(loop.time()), reliable=True
            )

        acknowledged = answer()
        await asyncio.sleep(1)
        acknowledged.stop()
        await asyncio.sleep(99)
        answer()
        await asyncio.sleep(100)

    run(main())
    assert times[:2] == pytest.approx([0, 0.5])
    assert times[2:5] == pytest.approx([100, 100.5, 101.5])
    assert gave_up == pytest.approx([132])


def test_a_provisional_stops_an_invite_for_good(run: Callable[..., None]) -> None:
    sent: list[float] = []
    responses: list[int] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        transaction = ClientTransaction(
            lambda: sent.append(loop.time()), lambda r: responses.append(r.status), invite=True, reliable=False
        )
        await asyncio.sleep(0.6)
        transaction.received(answer(180))
        await asyncio.sleep(90)
        assert not transaction.final.done()
        for _ in range(2):
            transaction.received(answer(200))
        final = await transaction.final
        assert final is not None and final.status == 200

    run(main())
    assert sent == pytest.approx([0, 0.5])
    assert responses == [180, 200, 200]


def test_no_answer_at_all_ends_in_none(run: Callable[..., None]) -> None:
    async def main() -> None:
        transaction = ClientTransaction(lambda: None, invite=False, reliable=False)
        transaction.received(answer(100))  # a BYE goes on being sent after a provisional
        assert await transaction.final is None
        assert asyncio.get_running_loop().time() == pytest.approx(32)

    run(main())
