"""What parsing and rewriting a message costs the edge: `python -m bench.edge_writing [--rounds N]`.

CPU time per message in microseconds, without sockets: the whole path through the edge's core, and the shares of parsing
and of rewriting with SDP. The best of several rounds, as other load on the machine only adds to it.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from time import process_time

import structlog

from telephony.edge.bodies import body_for_worker
from telephony.edge.context import EdgeContext, PublicSocket
from telephony.edge.core import EdgeCore
from telephony.edge.counters import EdgeCounters
from telephony.edge.dialogs import Dialog, Reply
from telephony.edge.fakes import FakeAdmitter
from telephony.edge.hops import Action, Hop, SendWorker
from telephony.edge.protocol import Forward, InviteInfo, WorkerAddress
from telephony.edge.settings import EdgeLimits, EdgeSettings, Trunk
from telephony.edge.to_public import response_to_public
from telephony.edge.to_worker import request_to_worker
from telephony.sip.parse import Request, Response, parse

CALLER = Hop("udp", "192.0.2.10", 5060, 0)
WORKER = WorkerAddress("w1", "127.0.0.1", 40001)
CALLS = 400
SDP = (
    "v=0\r\no=- 3724394400 3724394401 IN IP4 192.0.2.10\r\ns=call\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\n"
    "m=audio 18530 RTP/AVP 0 8 9 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:9 G722/8000\r\n"
    "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\na=maxptime:150\r\na=sendrecv\r\n"
)
CARRIERS = (
    "User-Agent: Carrier SBC 7.4\r\nAllow: INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, INFO\r\n"
    "Supported: timer, 100rel\r\nSession-Expires: 1800;refresher=uac\r\nMin-SE: 90\r\nPrivacy: none\r\n"
    "P-Asserted-Identity: <sip:+15550123@192.0.2.10>\r\nX-Carrier-Id: 8812\r\n"
)


def request(method: str, number: int, cseq: int, *, tag: str = "", more: str = "", body: str = "") -> bytes:
    kind = "Content-Type: application/sdp\r\n" if body else ""
    return (
        f"{method} sip:+15550199@198.51.100.1:5060 SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK{number}x{cseq}{method};rport\r\nMax-Forwards: 70\r\n"
        f'From: "Alice" <sip:+15550123@192.0.2.10>;tag=a{number}\r\nTo: <sip:+15550199@198.51.100.1>{tag}\r\n'
        f"Call-ID: call-{number}@192.0.2.10\r\nCSeq: {cseq} {method}\r\nContact: <sip:sbc@192.0.2.10:5060>\r\n"
        f"{more}{kind}Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


def answer(asked: Request, status: int, body: str = "", tag: str = ";tag=w") -> bytes:
    kept = [line.text for line in asked.lines if line.name in ("via", "from", "call-id", "cseq")]
    to = next(line.text for line in asked.lines if line.name == "to")
    lines = [f"SIP/2.0 {status} OK", *kept, to if asked.to_tag else to + tag, "Contact: <sip:127.0.0.1:40001>"]
    lines += [
        "Allow: PRACK, INVITE, ACK, BYE, CANCEL, UPDATE",
        "Supported: replaces, 100rel, timer",
        "Server: Trunkline",
    ]
    lines += ["Content-Type: application/sdp"] if body else []
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", body]).encode()


def made_core() -> tuple[EdgeCore, EdgeContext]:
    calls = iter(range(10**9))

    def decide(invite: InviteInfo) -> Forward:
        call_id = f"{next(calls):016x}"
        return Forward(WORKER, call_id, {"X-Trunkline-Leg": call_id})

    limits = EdgeLimits(invites_per_second=1e9, invite_burst=10**9, messages_per_second=1e9, message_burst=10**9)
    settings = EdgeSettings(("udp://198.51.100.1:5060",), (Trunk("carrier", ("192.0.2.0/24",)),), limits=limits)
    sockets = [PublicSocket("udp", ("198.51.100.1", 5060), "198.51.100.1")]
    context = EdgeContext(settings, FakeAdmitter(decide), EdgeCounters(), sockets, 39_999, b"k" * 32)
    core = EdgeCore(context)
    core.add_worker(WORKER)
    return core, context


class Stopwatch:
    """CPU time of each kind of message, in microseconds: the minimum of all rounds."""

    def __init__(self) -> None:
        self.least: dict[str, float] = {}

    def run(self, name: str, steps: list[Callable[[], object]]) -> list[object]:
        began = process_time()
        results = [step() for step in steps]
        taken = (process_time() - began) / len(steps) * 1e6
        self.least[name] = min(taken, self.least.get(name, taken))
        return results


def to_worker(actions: object) -> Request:
    assert isinstance(actions, list)
    message = parse(next(action.data for action in actions if isinstance(action, SendWorker)))
    assert isinstance(message, Request)
    return message


def whole_way(watch: Stopwatch) -> None:
    core, _ = made_core()
    now = 100.0

    def from_caller(data: bytes) -> Callable[[], list[Action]]:
        return lambda: core.receive(data, CALLER, now)

    def from_worker(data: bytes) -> Callable[[], list[Action]]:
        return lambda: core.receive_from_worker(data, (WORKER.host, WORKER.port), now)

    numbers = range(CALLS)
    invites = [request("INVITE", n, 1, more=CARRIERS, body=SDP) for n in numbers]
    asked = [to_worker(actions) for actions in watch.run("INVITE", [from_caller(data) for data in invites])]
    watch.run("180", [from_worker(answer(invite, 180)) for invite in asked])
    watch.run("200 with SDP", [from_worker(answer(invite, 200, SDP)) for invite in asked])
    tag = ";tag=w"
    watch.run("ACK", [from_caller(request("ACK", n, 1, tag=tag)) for n in numbers])
    key = "Content-Type: application/dtmf-relay\r\n"
    infos = [
        request("INFO", n, 2, tag=tag, more=key).replace(b"Length: 0\r\n\r\n", b"Length: 8\r\n\r\nSignal=5")
        for n in numbers
    ]
    watch.run("INFO (ends in the edge)", [from_caller(data) for data in infos])
    watch.run("re-INVITE", [from_caller(request("INVITE", n, 3, tag=tag, more=CARRIERS, body=SDP)) for n in numbers])
    byes = watch.run("BYE", [from_caller(request("BYE", n, 4, tag=tag)) for n in numbers])
    watch.run("200 to a BYE", [from_worker(answer(to_worker(actions), 200)) for actions in byes])


def writing(watch: Stopwatch) -> None:
    """The parts, for one call."""
    core, context = made_core()
    invite = request("INVITE", 1, 1, more=CARRIERS, body=SDP)
    asked = to_worker(core.receive(invite, CALLER, 1.0))
    core.receive_from_worker(answer(asked, 200, SDP), (WORKER.host, WORKER.port), 1.0)
    dialog = context.dialogs.of_leg(asked.call_id)
    assert isinstance(dialog, Dialog)
    rule = context.media_rule("carrier", CALLER)

    def wrote(data: bytes) -> None:
        message = parse(data)
        assert isinstance(message, Request)
        if message.method != "BYE":
            message.worker_body, _ = body_for_worker(message, rule)
        request_to_worker(message, dialog, via="SIP/2.0/UDP 127.0.0.1:39999;branch=b", contact=context.worker_contact)

    def answered(data: bytes, reply: Reply) -> None:
        message = parse(data)
        assert isinstance(message, Response)
        response_to_public(message, reply, context.public_contact(0), "w", initial=True)

    read = parse(invite)
    reply = Reply(read.lines, read.via, (CALLER.ip, CALLER.port), CALLER)
    ok = answer(asked, 200, SDP)
    bye = request("BYE", 1, 2, tag=";tag=w")
    many = range(CALLS)
    for name, data in (("INVITE", invite), ("BYE", bye)):
        watch.run(f"{name}: read", [lambda data=data: parse(data) for _ in many])
        watch.run(f"{name}: read and written anew", [lambda data=data: wrote(data) for _ in many])
    watch.run("200 with SDP: read", [lambda: parse(ok) for _ in many])
    watch.run("200 with SDP: read and written anew", [lambda: answered(ok, reply) for _ in many])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    watch = Stopwatch()
    for _ in range(rounds):
        whole_way(watch)
        writing(watch)
    for name, taken in watch.least.items():
        print(f"{taken:7.1f} us  {name}")
    for name in ("INVITE", "BYE", "200 with SDP"):
        wrote = watch.least[f"{name}: read and written anew"] - watch.least[f"{name}: read"]
        print(f"{wrote:7.1f} us  new writing of {name}")


if __name__ == "__main__":
    main()
