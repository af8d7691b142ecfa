"""Phones that register with a core, and answer its challenges as phones do."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count

from edge_world import SDP, World, make_world, sip, values

from telephony.edge.hops import BindingChanged, Hop
from telephony.edge.phone_settings import Phone, Phones
from telephony.sip.bindings import BindingPolicy
from telephony.sip.digest import Credentials, DigestClient
from telephony.sip.parse import Request, Response
from telephony.sip.probing import ProbePolicy

PHONES = Phones(
    trunk="phones",
    realm="trunkline",
    users={
        "anna": Phone("anna", "secret-a"),
        "bob": Phone("bob", "secret-b", ("10.20.0.0/16",)),
    },
    policy=BindingPolicy(shortest_s=60, longest_s=600, usual_s=300, most=3),
    probe=ProbePolicy(every_s=30, retry_s=2, answer_s=2, down_after=2, up_after=1),
)
_numbers = count(1)
DESK = Hop("udp", "10.20.1.2", 40000, 0)


def phone_world(*, anywhere: bool = False) -> World:
    phones = Phones(PHONES.trunk, PHONES.realm, PHONES.users, anywhere, policy=PHONES.policy, probe=PHONES.probe)
    return make_world(allow=("10.1.0.0/16",), phones=phones, phone_networks=("10.20.0.0/16",))


@dataclass
class Device:
    """One device of a phone. `uri`: its Contact, behind a NAT."""

    world: World
    name: str = "anna"
    password: str = "secret-a"
    hop: Hop = DESK
    uri: str = "sip:anna@192.168.7.2:5060"
    user: str = ""
    cseq: int = 0
    call_id: str = field(default_factory=lambda: f"call-{next(_numbers)}")
    digest: DigestClient = field(init=False)

    def __post_init__(self) -> None:
        self.digest = DigestClient(Credentials(self.user or self.name, self.password), lambda: "cnonce")

    def send(
        self, method: str, *more: str, uri: str = "sip:192.0.2.1", body: bytes = b"", to: str = ""
    ) -> Response | None:
        """One request as it stands; the edge's answer, if there is one."""
        self.cseq += 1
        self.world.public.clear()
        answers = [f"{name}: {value}" for name, value in self.digest.answers(method, uri, body)]
        self.last = sip(
            f"{method} {uri} SIP/2.0",
            f"Via: SIP/2.0/{self.hop.transport.upper()} 192.168.7.2:5060;rport;branch=z9hG4bK{self.call_id}{self.cseq}",
            "Max-Forwards: 70",
            f"From: <sip:{self.name}@192.0.2.1>;tag=phone",
            f"To: <{to or f'sip:{self.name}@192.0.2.1'}>",
            f"Call-ID: {self.call_id}",
            f"CSeq: {self.cseq} {method}",
            *answers,
            *more,
            *(("Content-Type: application/sdp",) if body else ()),
            body=body,
        )
        return self.again()

    def again(self) -> Response | None:
        """The last request, sent again."""
        self.world.caller(self.last, self.hop)
        sent = [message for message in self.world.to_public() if isinstance(message, Response)]
        return sent[0] if sent else None

    def ask(self, method: str, *more: str, **how: str) -> Response | None:
        """With an answer to the challenge."""
        body = SDP if method == "INVITE" else b""
        answer = self.send(method, *more, body=body, **how)
        if answer is not None and answer.status in (401, 407):
            name = "proxy-authenticate" if answer.status == 407 else "www-authenticate"
            assert self.digest.challenged(answer.status, values(answer, name))
            answer = self.send(method, *more, body=body, **how)
        return answer

    def register(self, *more: str, expires: int | None = None) -> Response:
        expiry = () if expires is None else (f"Expires: {expires}",)
        answer = self.ask("REGISTER", *(more or (f"Contact: <{self.uri}>",)), *expiry)
        assert answer is not None
        return answer


def told(world: World) -> list[tuple[str, bool, str]]:
    """What became known of phones since the last call of this."""
    found = [each for each in world.told if isinstance(each, BindingChanged)]
    world.told.clear()
    return [(each.binding.name, each.reachable, each.why) for each in found]


def options(world: World) -> list[Request]:
    return [m for m in world.to_public() if isinstance(m, Request) and m.method == "OPTIONS"]
