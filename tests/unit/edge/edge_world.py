"""A whole edge core with a caller and a worker that exist only as addresses, on a clock set by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from telephony.edge.branches import Branches
from telephony.edge.context import EdgeContext, PublicSocket
from telephony.edge.core import EdgeCore
from telephony.edge.counters import EdgeCounters
from telephony.edge.fakes import FakeAdmitter
from telephony.edge.hops import Action, CallCancelled, DialogEnded, Hop, InviteRefused, SendPublic, SendWorker
from telephony.edge.phone_settings import Phones
from telephony.edge.protocol import Forward, InviteInfo, Refuse, WorkerAddress
from telephony.edge.settings import EdgeLimits, EdgeSettings, Trunk
from telephony.sip.parse import Request, Response, parse

WORKER = WorkerAddress("w1", "127.0.0.1", 40001)
WORKER_PORT = 39999
PUBLIC = "192.0.2.1"
CALLER = Hop("udp", "10.1.2.3", 5060, 0)
SDP = (
    b"v=0\r\no=- 1 1 IN IP4 10.1.2.3\r\ns=-\r\nc=IN IP4 10.1.2.3\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\n"
    b"a=rtpmap:0 PCMU/8000\r\na=sendrecv\r\n"
)
CALLER_TAG = Branches(b"k" * 32).public_tag("c1")  # towards the worker, of the first call


def sip(start: str, *headers: str, body: bytes = b"") -> bytes:
    return "\r\n".join((start, *headers, f"Content-Length: {len(body)}", "", "")).encode() + body


def call_request(
    method: str = "INVITE",
    *,
    call: str = "call-1",
    cseq: int = 1,
    branch: str = "z9hG4bKa",
    to_tag: str = "",
    more: tuple[str, ...] = (),
    uri: str = "sip:+15550199@192.0.2.1:5060",
    via: str = "SIP/2.0/UDP 10.1.2.3:5060;rport",
    forwards: str = "Max-Forwards: 70",
    contact: str = "Contact: <sip:alice@10.1.2.3:5060>",
    body: bytes = SDP,
) -> bytes:
    """A request as the caller sends it."""
    tag = f";tag={to_tag}" if to_tag else ""
    return sip(
        f"{method} {uri} SIP/2.0",
        f"Via: {via};branch={branch}",
        *((forwards,) if forwards else ()),
        "From: Alice <sip:+15550123@10.1.2.3>;tag=alice",
        f"To: <sip:+15550199@192.0.2.1>{tag}",
        f"Call-ID: {call}",
        f"CSeq: {cseq} {method}",
        contact,
        *more,
        *(("Content-Type: application/sdp",) if body and not any("Content-Type" in line for line in more) else ()),
        body=body,
    )


def worker_request(method: str, cseq: int = 1) -> bytes:
    """As the worker sends it in the dialog of the first call."""
    return sip(
        f"{method} sip:127.0.0.1:{WORKER_PORT} SIP/2.0",
        f"Via: SIP/2.0/UDP 127.0.0.1:40001;rport;branch=z9hG4bKw{cseq}",
        "Max-Forwards: 70",
        "From: <sip:+15550199@127.0.0.1:40001>;tag=bob",
        f"To: <sip:+15550123@caller.invalid>;tag={CALLER_TAG}",
        "Call-ID: c1",
        f"CSeq: {cseq} {method}",
        "X-Trunkline-Secret: 1",
    )


@dataclass
class World:
    """Feeds the core and sorts the actions that it requests."""

    core: EdgeCore
    context: EdgeContext
    admitter: FakeAdmitter
    now: float = 100.0
    public: list[SendPublic] = field(default_factory=list)
    workers: list[SendWorker] = field(default_factory=list)
    told: list[Action] = field(default_factory=list)

    def perform(self, actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, SendPublic):
                self.public.append(action)
            elif isinstance(action, SendWorker):
                self.workers.append(action)
            else:
                self.told.append(action)

    def caller(self, data: bytes, hop: Hop = CALLER) -> None:
        self.perform(self.core.receive(data, hop, self.now))

    def worker(self, data: bytes, address: tuple[str, int] = (WORKER.host, WORKER.port)) -> None:
        self.perform(self.core.receive_from_worker(data, address, self.now))

    def tick(self, seconds: float) -> None:
        """Let time pass as the shell does: in steps of 100 ms."""
        until = self.now + seconds
        while self.now < until - 1e-9:
            self.now = min(until, self.now + 0.1)
            self.perform(self.core.tick(self.now))

    def to_public(self) -> list[Request | Response]:
        """What was sent to callers since the last call of this."""
        messages = [parse(action.data) for action in self.public]
        self.public.clear()
        return messages

    def to_worker(self) -> list[Request | Response]:
        messages = [parse(action.data) for action in self.workers]
        self.workers.clear()
        return messages

    @property
    def ended(self) -> list[str]:
        return [event.leg_id for event in self.told if isinstance(event, DialogEnded)]

    @property
    def cancelled(self) -> list[str]:
        return [event.leg_id for event in self.told if isinstance(event, CallCancelled)]

    @property
    def refused(self) -> list[InviteRefused]:
        return [event for event in self.told if isinstance(event, InviteRefused)]

    def answer(self, request: Request, status: int, *, to_tag: str = "bob", more: tuple[str, ...] = ()) -> bytes:
        """The worker's, or a caller's, response to a request that it was sent."""
        to = next(line.text for line in request.lines if line.name == "to")
        return sip(
            f"SIP/2.0 {status} Whatever",
            *[line.text for line in request.lines if line.name in ("via", "record-route")],
            next(line.text for line in request.lines if line.name == "from"),
            to if request.to_tag or status == 100 else f"{to};tag={to_tag}",
            f"Call-ID: {request.call_id}",
            f"CSeq: {request.cseq} {request.cseq_method}",
            "Contact: <sip:bob@127.0.0.1:40001>",
            *more,
        )

    def established(self, **how: object) -> Request:
        """A call up to its ACK; returns the INVITE as the worker got it."""
        hop = how.pop("hop", CALLER)
        assert isinstance(hop, Hop)
        self.caller(call_request(**how), hop)  # type: ignore[arg-type]  # keyword arguments of call_request
        invite = self.to_worker()[0]
        assert isinstance(invite, Request)
        self.worker(self.answer(invite, 200))
        how = {k: v for k, v in how.items() if k != "more"}
        self.caller(call_request("ACK", to_tag="bob", **{**how, "branch": "z9hG4bKack", "body": b""}), hop)  # type: ignore[arg-type]
        self.workers.clear()
        self.public.clear()
        return invite


def make_world(
    limits: EdgeLimits | None = None,
    allow: tuple[str, ...] = ("10.0.0.0/8",),
    others: Mapping[str, tuple[str, ...]] | None = None,
    trunk: Mapping[str, Any] | None = None,
    *,
    tls: bool = False,
    alike: bool = False,
    phones: Phones | None = None,
    phone_networks: tuple[str, ...] = (),
) -> World:
    """`trunk`: further settings of the caller's. `tls`: there is a socket for it, the third. `alike`: the
    others have the same settings. `phone_networks`: where `phones` may register from."""

    numbers = iter(range(1, 10_000))

    def decide(invite: InviteInfo) -> Forward | Refuse:
        call_id = f"c{next(numbers)}"
        return Forward(WORKER, call_id, {"X-Trunkline-Leg": call_id})

    admitter = FakeAdmitter(decide)
    trunks = (
        Trunk("carrier", allow, **(trunk or {})),
        *(Trunk(name, networks, **((trunk or {}) if alike else {})) for name, networks in (others or {}).items()),
        *((Trunk(phones.trunk, phone_networks, trust_identity=False, behind_nat=True),) if phones is not None else ()),
    )
    listen = ("udp://192.0.2.1:5060", "tcp://192.0.2.1:5060")
    settings = EdgeSettings(listen, trunks, limits=limits or EdgeLimits(), phones=phones)
    sockets = [PublicSocket("udp", (PUBLIC, 5060), PUBLIC), PublicSocket("tcp", (PUBLIC, 5060), PUBLIC)]
    if tls:
        sockets.append(PublicSocket("tls", (PUBLIC, 5061), PUBLIC))
    context = EdgeContext(settings, admitter, EdgeCounters(), sockets, WORKER_PORT, b"k" * 32)
    core = EdgeCore(context)
    core.add_worker(WORKER)
    return World(core, context, admitter)


def values(message: Request | Response, name: str) -> list[str]:
    return list(message.headers.get(name))


def statuses(world: World) -> list[int]:
    return [message.status for message in world.to_public() if isinstance(message, Response)]


def first_request(messages: list[Request | Response]) -> Request:
    assert isinstance(messages[0], Request)
    return messages[0]
