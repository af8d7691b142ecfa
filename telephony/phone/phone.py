"""A scripted SIP phone: places and receives calls, and times what it hears. Our measuring instrument."""

from __future__ import annotations

import asyncio
import secrets
import ssl
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Self

from telephony.errors import PortTaken, TelephonyMisuse
from telephony.phone.call import PhoneCall
from telephony.phone.dialog import Dialog, Received, branch_of, respond
from telephony.phone.errors import BadPeerMessage, CallFailed
from telephony.phone.sdp import CodecName
from telephony.phone.transaction import ClientTransaction
from telephony.phone.transport import Address, SipTransport, TransportName, open_transport
from telephony.sip.digest import Credentials, DigestClient
from telephony.sip.new_request import NewRequest
from telephony.sip.parse import Request, Response
from telephony.sip.transactions import Timers
from telephony.sip.uri import parse_uri

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
        self._asked: defaultdict[Address, set[ClientTransaction]] = defaultdict(set)  # without a final response
        self._replies: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self._incoming: asyncio.Queue[PhoneCall] = asyncio.Queue()

    async def start(self) -> None:
        """Open the SIP socket. Raises PortTaken."""
        try:
            self._transport = await open_transport(
                self._transport_name, self.host, self._port, self._on_message, self._tls, on_refused=self._on_refused
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
            call.stop_answering()
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
        peer = (parsed.host.strip("[]"), parsed.port or (5061 if self._transport_name == "tls" else 5060))
        try:
            peer = await transport.connect(peer)
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
        self, request: NewRequest, to: Address, on_response: Callable[[Response], None] | None = None
    ) -> ClientTransaction:
        data, transport = bytes(request), self._opened()
        transaction = ClientTransaction(
            lambda: transport.send(data, to),
            on_response,
            invite=request.method == "INVITE",
            reliable=self.reliable,
            timers=self.timers,
        )
        self._asked[to].add(transaction)
        transaction.final.add_done_callback(lambda _: self._forget_asked(to, transaction))
        self._transactions[branch_of(request), request.method] = transaction
        if len(self._transactions) > _REMEMBERED:
            self._transactions.popitem(last=False)
        return transaction

    def _forget_asked(self, to: Address, transaction: ClientTransaction) -> None:
        self._asked[to].discard(transaction)
        if not self._asked[to]:
            del self._asked[to]

    def send(self, request: NewRequest, to: Address) -> None:
        self._opened().send(bytes(request), to)

    def reply(self, request: Received, response: bytes) -> None:
        key = _transaction_key(request)
        self._replies[key] = response
        if len(self._replies) > _REMEMBERED:
            self._replies.popitem(last=False)
        if self._transport is not None:
            self._transport.send(response, self._reply_to(request))

    def authorize(self, request: NewRequest, challenge: Response) -> bool:
        if self._credentials is None:
            return False
        client = DigestClient(Credentials(*self._credentials), lambda: secrets.token_hex(8))
        asked = "proxy-authenticate" if challenge.status == 407 else "www-authenticate"
        if not client.challenged(challenge.status, challenge.headers.get(asked)):
            return False
        request.put_all(dict(client.answers(request.method, request.uri, request.body)))
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

    def _reply_to(self, request: Received) -> Address:
        """RFC 3581: to where the request came from; its port only where that was asked for, or over a connection."""
        via = request.message.via
        if self.reliable or via.rport is not None:
            return request.source
        return request.source[0], via.port or 5060

    def _on_refused(self, address: Address) -> None:
        for transaction in tuple(self._asked.get(address, ())):
            transaction.nobody_there()

    def _on_message(self, message: Request | Response, source: Address) -> None:
        try:
            if isinstance(message, Response):
                transaction = self._transactions.get((message.via.branch, message.cseq_method))
                if transaction is not None:
                    transaction.received(message)
            else:
                self._on_request(Received(message, source))
        except BadPeerMessage:
            pass  # ignore a malformed message; its sender will time out

    def _on_request(self, request: Received) -> None:
        key = _transaction_key(request)
        if request.method != "ACK" and key in self._replies and self._transport is not None:
            self._transport.send(self._replies[key], self._reply_to(request))
            return
        if request.method == "CANCEL":
            self._on_cancel(request)
            return
        if tag := request.message.to_tag:
            call = self._calls.get((request.message.call_id, tag))
            if call is not None:
                call.on_request(request)
            elif request.method != "ACK":
                self.reply(request, respond(request, 481, "Call/Transaction Does Not Exist"))
        elif request.method == "INVITE":
            self._invited(request)
        elif request.method == "OPTIONS":
            self.reply(request, respond(request, 200, "OK", contact=f"<{self.uri}>"))
        elif request.method != "ACK":
            self.reply(request, respond(request, 405, "Method Not Allowed", contact=f"<{self.uri}>"))

    def _invited(self, invite: Received) -> None:
        dialog = Dialog.incoming(invite.message, via=self._via(), contact=f"<{self.uri}>")
        call = PhoneCall(self, dialog, outgoing=False, dtx=self._dtx, peer=invite.source)
        call.asked = invite
        self._remember(call)
        self.reply(invite, respond(invite, 100, "Trying"))
        self._incoming.put_nowait(call)

    def _on_cancel(self, cancel: Received) -> None:
        branch = cancel.message.via.branch
        for call in self._calls.values():
            if call.answered_at is None and call.asked is not None and call.asked.message.via.branch == branch:
                self.reply(cancel, respond(cancel, 200, "OK", to_tag=call.dialog.tag))
                call.on_cancel()
                return
        self.reply(cancel, respond(cancel, 481, "Call/Transaction Does Not Exist"))


def _key_of(dialog: Dialog) -> tuple[str, str]:
    return dialog.call_id, dialog.tag


def _transaction_key(request: Received) -> tuple[str, str]:
    return request.message.via.branch, request.method
