"""Requests and responses of one call, in the terms of RFC 3261 section 12: tags, route set, sequence numbers. Pure."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from telephony.phone.errors import BadPeerMessage
from telephony.sip.new_request import NewRequest
from telephony.sip.parse import Message, Request, Response
from telephony.sip.uri import contact_uri
from telephony.sip.writing import assemble, reply_lines

__all__ = ["Dialog", "Received", "branch_of", "next_hop", "respond"]

_USER_AGENT = "trunkline-phone"
_ALLOW = "INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, UPDATE, REFER, NOTIFY"


@dataclass(frozen=True, slots=True)
class Received:
    """A request of the peer, and the address that it came from."""

    message: Request
    source: tuple[str, int]

    @property
    def method(self) -> str:
        return self.message.method

    @property
    def text(self) -> str:
        return self.message.body.decode("utf-8", "replace")

    def value(self, name: str) -> str:
        """The first value of a header, or nothing."""
        return self.message.value(name)


@dataclass(slots=True)
class Dialog:
    """One side of a call. `local` and `remote` are From/To values with their tags, as this side sends them."""

    via: str  # "SIP/2.0/UDP 127.0.0.1:5060"
    contact: str
    call_id: str
    local: str
    remote: str
    target: str  # where requests go: the URI dialed, then the peer's Contact
    sequence: int = 0
    routes: list[str] = field(default_factory=list)

    @property
    def tag(self) -> str:
        """Ours."""
        return self.local.rpartition(";tag=")[2]

    @classmethod
    def outgoing(cls, *, via: str, contact: str, caller: str, callee: str) -> Dialog:
        """`caller` is the From value without a tag, `callee` the URI that is dialed."""
        return cls(
            via, contact, secrets.token_hex(12), f"{caller};tag={secrets.token_hex(6)}", f"<{callee}>", callee, 0
        )

    @classmethod
    def incoming(cls, invite: Request, *, via: str, contact: str) -> Dialog:
        """The called side of an INVITE. Raises BadPeerMessage when that has no Contact."""
        local = f"{invite.value('to')};tag={secrets.token_hex(6)}"
        routes = list(invite.headers.get("record-route"))
        return cls(via, contact, invite.call_id, local, invite.value("from"), _target(invite), 0, routes)

    def established(self, response: Response) -> None:
        """Take what a response with a To tag says (RFC 3261 section 12.1.2). Raises BadPeerMessage."""
        self.remote = response.value("to")
        self.target = _target(response)
        self.routes = list(reversed(response.headers.get("record-route")))

    def retargeted(self, message: Message) -> None:
        """A re-INVITE or its answer may move the peer (section 12.2)."""
        if message.value("contact"):
            self.target = _target(message)

    def request(
        self,
        method: str,
        *,
        body: bytes = b"",
        content_type: str = "application/sdp",
        headers: Mapping[str, str] | None = None,
        sequence: int | None = None,
    ) -> NewRequest:
        """A new request with a branch of its own; `sequence` is given for ACK only, which has its INVITE's."""
        if sequence is None:
            self.sequence += 1
            sequence = self.sequence
        request = NewRequest(method, self.target, body=body)
        request.add("Via", f"{self.via};branch=z9hG4bK{secrets.token_hex(8)};rport")
        for route in self.routes:
            request.add("Route", route)
        request.add("Max-Forwards", "70")
        request.add("From", self.local)
        request.add("To", self.remote)
        request.add("Call-ID", self.call_id)
        request.add("CSeq", f"{sequence} {method}")
        if method in ("INVITE", "UPDATE", "REFER"):
            request.add("Contact", self.contact)
            request.add("Allow", _ALLOW)
        request.add("User-Agent", _USER_AGENT)
        request.put_all(headers or {})
        if body:
            request.put("Content-Type", content_type)
        return request

    @staticmethod
    def same_transaction(invite: NewRequest, method: str, to: str | None = None) -> NewRequest:
        """The CANCEL of an INVITE, or the ACK of its failure (sections 9.1 and 17.1.1.3)."""
        request = NewRequest(method, invite.uri)
        for name in ("Via", "Route", "Max-Forwards", "From", "To", "Call-ID"):
            for value in invite.values(name):
                request.add(name, value)
        if to is not None:
            request.put("To", to)
        request.add("CSeq", f"{invite.value('CSeq').split()[0]} {method}")
        request.add("User-Agent", _USER_AGENT)
        return request


def respond(
    request: Received,
    status: int,
    reason: str,
    *,
    to_tag: str = "",
    contact: str = "",
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """A response (section 8.2.6). `to_tag`: ours, where the request has none yet."""
    message = request.message
    texts = reply_lines(message.lines, message.via, request.source, "" if message.to_tag else to_tag)
    texts += [line.text for line in message.lines if line.name == "record-route"]
    if contact:
        texts += [f"Contact: {contact}", f"Allow: {_ALLOW}"]
    texts.append(f"User-Agent: {_USER_AGENT}")
    texts += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if body:
        texts.append("Content-Type: application/sdp")
    return assemble(f"SIP/2.0 {status} {reason}", texts, body)


def next_hop(request: NewRequest) -> tuple[str, int]:
    """Host and port of the first route, or of the request URI (section 8.1.2). Raises BadPeerMessage."""
    try:
        return request.next_hop()
    except ValueError as error:
        raise BadPeerMessage(str(error)) from error


def branch_of(request: NewRequest) -> str:
    """Of a request of ours: what names its transaction."""
    return request.value("Via").partition("branch=")[2].partition(";")[0]


def _target(message: Message) -> str:
    if not message.value("contact"):
        raise BadPeerMessage("a message without Contact")
    target = contact_uri(message.value("contact"))
    if not target:
        raise BadPeerMessage("a message whose Contact is no URI")
    return target
