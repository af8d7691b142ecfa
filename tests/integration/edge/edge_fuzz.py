"""Broken and odd SIP through the edge into a real PJSIP: `python tests/integration/edge/edge_fuzz.py [COUNT] [SEED]`.

The edge's core runs in this process; its worker is a child with a real endpoint, which answers every call. Messages are
made from good ones by changing their header lines and bodies, most of them so that they can still be parsed. The test
shows that the child survives, and that each answerable request is answered. Nothing leaves the machine: SIP is on
loopback, and PJSIP's RTP sockets are bound to it.
"""

from __future__ import annotations

import asyncio
import logging
import random
import select
import socket
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from fuzz_messages import BODIES, INFO_BODIES, METHODS, SDP, TYPES, Answer, Leg, branch_of, message

from telephony.edge.context import EdgeContext, PublicSocket
from telephony.edge.core import EdgeCore
from telephony.edge.counters import EdgeCounters
from telephony.edge.fakes import FakeAdmitter
from telephony.edge.hops import Action, Hop, SendPublic, SendWorker
from telephony.edge.protocol import Forward, InviteInfo, Refuse, WorkerAddress
from telephony.edge.settings import EdgeLimits, EdgeSettings, Trunk
from telephony.sip.parse import Malformed, Request, parse

ANSWER_WITHIN_S = 2.5  # the edge's own limit is 2 s
CALLER = Hop("udp", "127.0.0.2", 5060, 0)
LIMITS = EdgeLimits(
    invites_per_second=1e9, invite_burst=10**9, messages_per_second=1e9, message_burst=10**9, remembered_attempts=1000
)


@dataclass
class Fuzz:
    """Sends one message after the other, and waits for the required reaction to each."""

    chance: random.Random
    child: subprocess.Popen[bytes]
    sock: socket.socket
    worker: tuple[str, int]
    core: EdgeCore
    context: EdgeContext
    inbox: list[Answer] = field(default_factory=list)
    legs: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    unanswered: list[bytes] = field(default_factory=list)
    slowest_s: float = 0.0
    next_tick: float = 0.0

    def perform(self, actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, SendWorker):
                self.sock.sendto(action.data, (action.host, action.port))
            elif isinstance(action, SendPublic):
                self._public(action.data)

    def _public(self, data: bytes) -> None:
        if data.startswith(b"SIP/2.0 "):
            self.inbox.append(Answer(data))
            return
        got = parse(data)
        if got.cseq_method == "ACK":
            return
        keep = [line.text for line in got.lines if line.name in ("via", "from", "to", "call-id", "cseq")]
        self.feed(
            message(
                ["SIP/2.0 200 OK", *keep, "Contact: <sip:alice@127.0.0.2>"], SDP if got.cseq_method == "INVITE" else ""
            )
        )

    def feed(self, data: bytes) -> None:
        self.perform(self.core.receive(data, CALLER, time.monotonic()))

    def pump(self, seconds: float) -> None:
        """What the worker has to say."""
        if select.select([self.sock], [], [], seconds)[0]:
            data, address = self.sock.recvfrom(65_535)
            self.perform(self.core.receive_from_worker(data, address, time.monotonic()))
        now = time.monotonic()
        if now >= self.next_tick:
            self.next_tick = now + 0.1
            self.perform(self.core.tick(now))

    def final(self, branch: str, seconds: float = ANSWER_WITHIN_S) -> Answer | None:
        start = time.monotonic()
        while True:
            for got in self.inbox:
                if got.status >= 200 and got.branch == branch:
                    self.inbox.clear()
                    self.slowest_s = max(self.slowest_s, time.monotonic() - start)
                    return got
            if time.monotonic() - start > seconds or self.child.poll() is not None:
                self.inbox.clear()
                return None
            self.pump(0.05)

    def new_leg(self) -> Leg:
        self.legs += 1
        return Leg(self.legs)

    def ask(self, data: bytes, name: str) -> Answer | None:
        """Send; the final answer if the message can have one."""
        try:
            read = parse(data)
        except Malformed as error:
            answerable = bool(error.lines) and error.via is not None
        else:
            answerable = isinstance(read, Request) and read.method != "ACK"
        self.feed(data)
        if not answerable:
            self.inbox.clear()
            self.statuses["dropped"] += 1
            return None
        answer = self.final(branch_of(data))
        self.statuses[f"{name} {answer.status if answer else 'nothing'}"] += 1
        if answer is None:
            self.unanswered.append(data)
        return answer

    def up(self, leg: Leg, data: bytes) -> bool:
        """An INVITE; a call that was answered gets its ACK."""
        answer = self.ask(data, "INVITE")
        if answer is None:
            return False
        leg.to_tag, leg.answered = answer.to_tag, answer.status < 300
        self.feed(self.ack(answer))
        return leg.answered

    def ack(self, answer: Answer) -> bytes:
        keep = answer.of("from", "f", "to", "t", "call-id", "i")
        branch = answer.branch if answer.status >= 300 else f"z9hG4bKack{self.chance.getrandbits(40)}"
        via = f"Via: SIP/2.0/UDP 127.0.0.2:5060;branch={branch};rport"
        return message(["ACK sip:x@127.0.0.1 SIP/2.0", via, *keep, f"CSeq: {(answer.cseq.split() or ['1'])[0]} ACK"])

    def branch(self) -> str:
        return f"z9hG4bK{self.chance.getrandbits(64):x}"

    def bye(self, leg: Leg, chance: random.Random | None = None) -> None:
        leg.cseq += 1
        lines = leg.lines("BYE", leg.cseq, self.branch())
        answer = self.ask(message(lines, chance=chance), "BYE")
        if chance is not None and (answer is None or answer.status != 200):
            self.bye(leg)

    def one_invite(self) -> None:
        leg = self.new_leg()
        lines = leg.lines("INVITE", 1, self.branch())
        data = message(lines, self.chance.choice(BODIES), self.chance.choice(TYPES), self.chance)
        if self.up(leg, data):
            read = parse(data)
            leg.number, leg_from, call_id = leg.number, read.value("from"), read.call_id
            leg.cseq = read.cseq + 1
            lines = leg.lines("BYE", leg.cseq, self.branch())
            lines[3], lines[5] = f"From: {leg_from}", f"Call-ID: {call_id}"
            lines[4] = f"To: <sip:+15550199@127.0.0.1>;tag={leg.to_tag}"
            self.ask(message(lines), "BYE")

    def one_in_dialog(self, leg: Leg) -> None:
        leg.cseq += 1
        method = self.chance.choice(METHODS)
        body, kind = "", "application/sdp"
        if method == "INFO":
            body, kind = (
                self.chance.choice(INFO_BODIES),
                self.chance.choice(TYPES[40:] + ["application/dtmf-relay"] * 4),
            )
        elif method in ("INVITE", "UPDATE") or self.chance.random() < 0.3:
            body, kind = self.chance.choice(BODIES), self.chance.choice(TYPES)
        data = message(leg.lines(method, leg.cseq, self.branch()), body, kind, self.chance)
        answer = self.ask(data, method if method != "XYZZY" else "other")
        if answer is not None and answer.cseq.endswith("INVITE"):
            self.feed(self.ack(answer))

    def run(self, count: int) -> None:
        leg: Leg | None = None
        for number in range(count):
            if leg is None:
                leg = self.new_leg()
                if not self.up(leg, message(leg.lines("INVITE", 1, self.branch()), SDP)):
                    raise AssertionError("a good call was not answered")
            if self.chance.random() < 0.25:
                self.one_invite()
            else:
                self.one_in_dialog(leg)
            if self.child.poll() is not None:
                raise AssertionError(f"the worker died at message {number}: {self.child.returncode}")
            if number % 200 == 199:
                self.bye(leg, self.chance)
                leg = None


def fuzz(count: int, seed: int) -> Fuzz:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    child = subprocess.Popen([sys.executable, str(Path(__file__)), "--worker"], stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        port = int(child.stdout.readline())
        worker = WorkerAddress("w1", "127.0.0.1", port)

        def decide(invite: InviteInfo) -> Forward | Refuse:
            return Forward(worker, f"c{len(admitter.invites)}")

        admitter = FakeAdmitter(decide)
        settings = EdgeSettings(("udp://127.0.0.1:5060",), (Trunk("t", ("127.0.0.0/8",)),), limits=LIMITS)
        sockets = [PublicSocket("udp", ("127.0.0.1", 5060), "127.0.0.1")]
        context = EdgeContext(settings, admitter, EdgeCounters(), sockets, sock.getsockname()[1], b"f" * 32)
        core = EdgeCore(context)
        core.add_worker(worker)
        made = Fuzz(random.Random(seed), child, sock, (worker.host, port), core, context)
        made.run(count)
        return made
    finally:
        child.kill()
        child.communicate()
        sock.close()


async def answer_everything() -> None:
    """The child: a call worker's endpoint, whose every call is answered and silent."""
    from pjsua_bench import Echo, rtp_range

    from telephony.errors import LegEndedError
    from telephony.pjsua import Endpoint, EndpointSettings, IncomingLeg

    tasks: set[asyncio.Task[None]] = set()

    async def take(leg: IncomingLeg) -> None:
        with suppress(LegEndedError):
            await leg.ring()
            await leg.answer(Echo())
        async for _ in leg.events():
            pass

    def incoming(leg: IncomingLeg) -> None:
        task = asyncio.ensure_future(take(leg))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    endpoint = Endpoint(EndpointSettings(rtp_range(), rtp_bind="127.0.0.1", public_address="127.0.0.1"), incoming)
    await endpoint.start()
    print(endpoint.sip_port, flush=True)
    await asyncio.Event().wait()


def main() -> int:
    if sys.argv[1:] == ["--worker"]:
        sys.path.insert(0, str(Path(__file__).parents[1] / "pjsua"))
        asyncio.run(answer_everything())
        return 0
    numbers = [int(text) for text in sys.argv[1:3]]
    count, seed = [*numbers, *(20_000, 11)[len(numbers) :]]
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    began = time.monotonic()
    made = fuzz(count, seed)
    print(f"{count} messages in {time.monotonic() - began:.0f} s, slowest answer {made.slowest_s * 1000:.0f} ms")
    for name, number in sorted(made.statuses.items()):
        print(f"  {number:6} {name}")
    for data in made.unanswered[:5]:
        print("unanswered:", data.decode("utf-8", "replace"))
    return 1 if made.unanswered else 0


if __name__ == "__main__":
    sys.exit(main())
