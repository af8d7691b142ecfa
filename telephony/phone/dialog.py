"""Requests and responses of one call, in the terms of RFC 3261 section 12: tags, route set, sequence numbers. Pure."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from aiosipua import SipRequest, SipResponse, parse_address, parse_uri

from telephony.phone.errors import BadPeerMessage

__all__ = ["Dialog", "branch_of", "next_hop", "respond"]

_USER_AGENT = "trunkline-phone"
_ALLOW = "INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, UPDATE, REFER, NOTIFY"


@dataclass(slots=True)
class Dialog:
    """One side of a dialog. `local` and `remote` are From/To values with their tags, as this side sends them."""

    via: str  # "SIP/2.0/UDP 127.0.0.1:5060"
    contact: str
    call_id: str
    local: str
    remote: str
    target: str  # where requests go: the URI dialed, then the peer's Contact
    sequence: int = 0
    routes: list[str] = field(default_factory=list)

    @classmethod
    def outgoing(cls, *, via: str, contact: str, caller: str, callee: str) -> Dialog:
        """`caller` is the From value without a tag, `callee` the URI that is dialed."""
        return cls(
            via, contact, secrets.token_hex(12), f"{caller};tag={secrets.token_hex(6)}", f"<{callee}>", callee, 0
        )

    @classmethod
    def incoming(cls, invite: SipRequest, *, via: str, contact: str) -> Dialog:
        """The called side, from an INVITE. Raises BadPeerMessage if it has no Contact."""
        local = f"{_one(invite, 'To')};tag={secrets.token_hex(6)}"
        return cls(
            via,
            contact,
            _one(invite, "Call-ID"),
            local,
            _one(invite, "From"),
            _contact_uri(invite),
            0,
            list(invite.get_header_values("Record-Route")),
        )

    def established(self, response: SipResponse) -> None:
        """Apply a response with a To tag (RFC 3261 section 12.1.2). Raises BadPeerMessage."""
        self.remote = _one(response, "To")
        self.target = _contact_uri(response)
        self.routes = list(reversed(response.get_header_values("Record-Route")))

    def retargeted(self, message: SipRequest | SipResponse) -> None:
        """A re-INVITE or its answer may move the peer (section 12.2)."""
        if message.get_header("Contact"):
            self.target = _contact_uri(message)

    def request(
        self,
        method: str,
        *,
        body: bytes = b"",
        content_type: str = "application/sdp",
        headers: Mapping[str, str] | None = None,
        sequence: int | None = None,
    ) -> SipRequest:
        """A new request with its own branch; `sequence` is given only for ACK, which reuses its INVITE's."""
        if sequence is None:
            self.sequence += 1
            sequence = self.sequence
        request = SipRequest(method=method, uri=self.target, body=body)
        request.set_header("Via", f"{self.via};branch=z9hG4bK{secrets.token_hex(8)};rport")
        for route in self.routes:
            request.add_header("Route", route)
        request.set_header("Max-Forwards", "70")
        request.set_header("From", self.local)
        request.set_header("To", self.remote)
        request.set_header("Call-ID", self.call_id)
        request.set_header("CSeq", f"{sequence} {method}")
        if method in ("INVITE", "UPDATE", "REFER"):
            request.set_header("Contact", self.contact)
            request.set_header("Allow", _ALLOW)
        request.set_header("User-Agent", _USER_AGENT)
        for name, value in (headers or {}).items():
            request.set_header(name, value)
        if body:
            request.set_header("Content-Type", content_type)
        return request

    @staticmethod
    def same_transaction(invite: SipRequest, method: str, to: str | None = None) -> SipRequest:
        """The CANCEL of an INVITE, or the ACK of its failure (sections 9.1 and 17.1.1.3)."""
        request = SipRequest(method=method, uri=invite.uri)
        for name in ("Via", "Route", "Max-Forwards", "From", "To", "Call-ID"):
            for value in invite.get_header_values(name):
                request.add_header(name, value)
        if to is not None:
            request.set_header("To", to)
        request.set_header("CSeq", f"{_one(invite, 'CSeq').split()[0]} {method}")
        request.set_header("User-Agent", _USER_AGENT)
        return request


def respond(
    request: SipRequest, status: int, reason: str, *, to: str | None = None, contact: str = "", body: bytes = b""
) -> SipResponse:
    """A response (section 8.2.6); `to` is the To value with our tag."""
    response = SipResponse(status_code=status, reason_phrase=reason, body=body)
    for name in ("Via", "Record-Route", "From", "Call-ID", "CSeq"):
        for value in request.get_header_values(name):
            response.add_header(name, value)
    response.set_header("To", to or _one(request, "To"))
    if contact:
        response.set_header("Contact", contact)
        response.set_header("Allow", _ALLOW)
    response.set_header("User-Agent", _USER_AGENT)
    if body:
        response.set_header("Content-Type", "application/sdp")
    return response


def next_hop(request: SipRequest) -> tuple[str, int]:
    """Host and port of the first route, or of the request URI (section 8.1.2). Raises BadPeerMessage."""
    routes = request.get_header_values("Route")
    try:
        uri = parse_address(routes[0]).uri if routes else parse_uri(request.uri)
    except (ValueError, IndexError) as error:
        raise BadPeerMessage(f"{routes or request.uri} is not a SIP URI") from error
    return uri.host, uri.port or (5061 if uri.scheme == "sips" or uri.params.get("transport") == "tls" else 5060)


def branch_of(message: SipRequest | SipResponse) -> str:
    """The topmost Via branch, which identifies the transaction. Raises BadPeerMessage."""
    try:
        return message.via[0].branch or ""
    except (ValueError, IndexError) as error:
        raise BadPeerMessage("message without a usable Via") from error


def _one(message: SipRequest | SipResponse, name: str) -> str:
    value = message.get_header(name)
    if not value:
        raise BadPeerMessage(f"message without {name}")
    return value


def _contact_uri(message: SipRequest | SipResponse) -> str:
    value = _one(message, "Contact")
    start, end = value.find("<"), value.find(">")
    return value[start + 1 : end] if 0 <= start < end else value.split(";")[0].strip()
