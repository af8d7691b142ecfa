"""A scripted SIP phone: places and receives calls, and times what it hears. Our measuring instrument."""

from __future__ import annotations

import asyncio
import ssl
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Self

from aiosipua import SipDigestAuth, SipRequest, SipResponse, parse_uri
from aiosipua.auth import answer_challenge

from telephony.errors import PortTaken, TelephonyMisuse
from telephony.phone.call import PhoneCall
from telephony.phone.dialog import Dialog, branch_of, respond
from telephony.phone.errors import BadPeerMessage, CallFailed
from telephony.phone.sdp import CodecName
from telephony.phone.transaction import ClientTransaction
from telephony.phone.transport import Address, SipTransport, TransportName, open_transport
from telephony.sip.transactions import Timers

__all__ = ["Phone"]

_REMEMBERED = 500  # answers kept for repeated requests, and transactions for repeated responses


class Phone:
    """One SIP address. Use `async with Phone() as phone`, or `start` and `close`.

    `codec`: one name or several in order of preference. `credentials`: (user, password) for 401 and 407.
    `dtx`: send nothing while no clip plays, instead of comfort silence. `tls`: required for transport "tls".
    `timers`: of its SIP transactions.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        *,
        port: int = 0,
        transport: TransportName = "udp",
        codec: CodecName | Sequence[CodecName] = "PCMU",
        user: str = "phone",
        credentials: tuple[str, str] | None = None,
        dtx: bool = False,
        tls: ssl.SSLContext | None = None,
        timers: Timers | None = None,
    ) -> None:
        self.host = host
        self.codecs: Sequence[CodecName] = (codec,) if codec == "PCMU" or codec == "PCMA" else tuple(codec)
        self.reliable = transport != "udp"
        self.timers = timers or Timers()
        self._port = port
        self._transport_name: TransportName = transport
        self._user = user
        self._credentials = credentials
        self._dtx = dtx
        self._tls = tls
        self._transport: SipTransport | None = None
        self._calls: dict[tuple[str, str], PhoneCall] = {}  # by Call-ID and our tag
        self._transactions: OrderedDict[tuple[str, str], ClientTransaction] = OrderedDict()  # by branch and method
        self._replies: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self._incoming: asyncio.Queue[PhoneCall] = asyncio.Queue()

    async def start(self) -> None:
        """Open the SIP socket. Raises PortTaken."""
        try:
            self._transport = await open_transport(
                self._transport_name, self.host, self._port, self._on_message, self._tls
            )
        except OSError as error:
            raise PortTaken(f"{self._transport_name}://{self.host}:{self._port}") from error

    async def close(self) -> None:
        """Hang up remaining calls and close the socket. Idempotent."""
        if self._transport is None:
            return
        calls = list(self._calls.values())
        try:
            async with asyncio.timeout(2):
                await asyncio.gather(*(call.hang_up() for call in calls))
        except TimeoutError:
            pass
        for transaction in self._transactions.values():
            transaction.abandon()
        for call in calls:
            call.stop_responding()
            call.abandon()
        await asyncio.gather(*(call.wait_bye() for call in calls))
        await self._transport.close()
        self._transport = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def address(self) -> Address:
        """The address where this phone receives SIP."""
        return self._opened().local

    @property
    def uri(self) -> str:
        """The URI to call this phone at."""
        host, port = self.address
        return f"sip:{self._user}@{host}:{port}" + ("" if not self.reliable else f";transport={self._transport_name}")

    async def call(
        self,
        uri: str,
        *,
        caller: str = "",
        display_name: str = "",
        headers: Mapping[str, str] | None = None,
        timeout: float = 60.0,
    ) -> PhoneCall:
        """Call and wait for the answer. `caller` is the user part of From. Raises CallFailed; after `timeout` seconds
        of ringing the call is cancelled and fails with 408."""
        call = await self.dial(uri, caller=caller, display_name=display_name, headers=headers)
        try:
            async with asyncio.timeout(timeout):
                await call.answered()
        except TimeoutError:
            await call.hang_up()
            raise CallFailed(408, f"not answered in {timeout:g} s") from None
        except BaseException:
            if not call.ended.done():
                await call.hang_up()
            raise
        return call

    async def dial(
        self, uri: str, *, caller: str = "", display_name: str = "", headers: Mapping[str, str] | None = None
    ) -> PhoneCall:
        """Send the INVITE and return the call before it is answered. Raises CallFailed if the peer is unreachable,
        ValueError for an invalid `uri`."""
        transport = self._opened()
        parsed = parse_uri(uri)
        peer = (parsed.host, parsed.port or (5061 if self._transport_name == "tls" else 5060))
        try:
            await transport.connect(peer)
        except OSError as error:
            raise CallFailed(503, f"{peer[0]}:{peer[1]}: {error.strerror or error}") from error
        host, port = self.address
        name = f'"{display_name}" ' if display_name else ""
        dialog = Dialog.outgoing(
            via=self._via(),
            contact=f"<{self.uri}>",
            caller=f"{name}<sip:{caller or self._user}@{host}:{port}>",
            callee=uri,
        )
        call = PhoneCall(self, dialog, outgoing=True, dtx=self._dtx, peer=peer)
        self._remember(call)
        call.send_invite(headers or {})
        return call

    async def incoming(self) -> PhoneCall:
        """Wait for the next call to this phone; then `ring`, `answer` or `reject` it."""
        return await self._incoming.get()

    # --- used by calls (Signaling) ---

    def transact(
        self, request: SipRequest, to: Address, on_response: Callable[[SipResponse], None] | None = None
    ) -> ClientTransaction:
        data, transport = bytes(request), self._opened()
        transaction = ClientTransaction(
            lambda: transport.send(data, to),
            on_response,
            invite=request.method == "INVITE",
            reliable=self.reliable,
            timers=self.timers,
        )
        self._transactions[branch_of(request), request.method] = transaction
        if len(self._transactions) > _REMEMBERED:
            self._transactions.popitem(last=False)
        return transaction

    def send(self, request: SipRequest, to: Address) -> None:
        self._opened().send(bytes(request), to)

    def reply(self, request: SipRequest, response: SipResponse) -> None:
        data = bytes(response)
        key = _transaction_key(request)
        self._replies[key] = data
        if len(self._replies) > _REMEMBERED:
            self._replies.popitem(last=False)
        if self._transport is not None:
            self._transport.send(data, self._reply_to(request))

    def authorize(self, request: SipRequest, challenge: SipResponse) -> bool:
        if self._credentials is None:
            return False
        credentials = SipDigestAuth(*self._credentials)
        answer = answer_challenge(credentials, challenge, challenge.status_code, request.method, request.uri)
        if answer is None:
            return False
        request.set_header(*answer)
        return True

    def forget(self, dialog: Dialog) -> None:
        self._calls.pop(_key_of(dialog), None)

    # --- messages ---

    def _opened(self) -> SipTransport:
        if self._transport is None:
            raise TelephonyMisuse("the phone has not been started")
        return self._transport

    def _via(self) -> str:
        host, port = self.address
        return f"SIP/2.0/{self._transport_name.upper()} {host}:{port}"

    def _remember(self, call: PhoneCall) -> None:
        self._calls[_key_of(call.dialog)] = call

    def _reply_to(self, request: SipRequest) -> Address:
        """RFC 3581: send to where the request came from, as our transport noted in its Via."""
        via = request.via[0]
        return via.received or via.host, int(via.rport or via.port or 5060)

    def _on_message(self, message: SipRequest | SipResponse, source: Address) -> None:
        try:
            if isinstance(message, SipResponse):
                cseq = message.cseq
                transaction = self._transactions.get((branch_of(message), cseq.method if cseq else ""))
                if transaction is not None:
                    transaction.received(message)
            else:
                self._on_request(_noted(message, source, self.reliable), source)
        except BadPeerMessage:
            pass  # ignore a malformed message; its sender will time out

    def _on_request(self, request: SipRequest, source: Address) -> None:
        key = _transaction_key(request)
        if request.method != "ACK" and key in self._replies and self._transport is not None:
            self._transport.send(self._replies[key], self._reply_to(request))
            return
        if request.method == "CANCEL":
            self._on_cancel(request)
            return
        to = request.to_addr
        tag = to.tag if to is not None else None
        if tag:
            call = self._calls.get((request.call_id or "", tag))
            if call is not None:
                call.on_request(request)
            elif request.method != "ACK":
                self.reply(request, respond(request, 481, "Call/Transaction Does Not Exist"))
        elif request.method == "INVITE":
            self._invited(request, source)
        elif request.method == "OPTIONS":
            self.reply(request, respond(request, 200, "OK", contact=f"<{self.uri}>"))
        elif request.method != "ACK":
            self.reply(request, respond(request, 405, "Method Not Allowed", contact=f"<{self.uri}>"))

    def _invited(self, invite: SipRequest, source: Address) -> None:
        dialog = Dialog.incoming(invite, via=self._via(), contact=f"<{self.uri}>")
        call = PhoneCall(self, dialog, outgoing=False, dtx=self._dtx, peer=source)
        call.invite = invite
        self._remember(call)
        self.reply(invite, respond(invite, 100, "Trying"))
        self._incoming.put_nowait(call)

    def _on_cancel(self, cancel: SipRequest) -> None:
        branch = branch_of(cancel)
        for call in self._calls.values():
            if not call.outgoing and call.answered_at is None and call.invite is not None and call.branch == branch:
                self.reply(cancel, respond(cancel, 200, "OK", to=call.dialog.local))
                call.on_cancel()
                return
        self.reply(cancel, respond(cancel, 481, "Call/Transaction Does Not Exist"))


def _key_of(dialog: Dialog) -> tuple[str, str]:
    return dialog.call_id, dialog.local.rpartition(";tag=")[2]


def _transaction_key(request: SipRequest) -> tuple[str, str]:
    return branch_of(request), request.method


def _noted(request: SipRequest, source: Address, reliable: bool) -> SipRequest:
    """Write into the topmost Via where the request came from (RFC 3261 section 18.2.1, RFC 3581 section 4)."""
    vias = request.via
    if not vias:
        raise BadPeerMessage("request without a Via")
    top = vias[0]
    if top.host != source[0] or "rport" in top.params or reliable:
        top.params["received"] = source[0]
    if "rport" in top.params or reliable:
        top.params["rport"] = str(source[1])
    request.via = [top, *vias[1:]]
    return request
