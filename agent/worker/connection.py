"""The worker's WebSocket to LiveKit: carries out what `WorkerMachine` decides, and reconnects when the connection is
lost."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import aiohttp
from livekit.protocol import agent as pb

from agent.worker.explain import ConnectFailure, Explanation, agent_url, explain
from agent.worker.protocol import Action, Drop, RetryAfter, Send, WorkerMachine, WorkerState
from agent.worker.tokens import worker_token

__all__ = ["HopelessConnection", "ServerConnection"]

TICK_S = 0.5
CONNECT_LIMIT_S = 10.0
_log = logging.getLogger(__name__)


class HopelessConnection(Exception):
    """The server cannot be used with these settings; the text says which and what to do."""


class ServerConnection:
    def __init__(
        self,
        machine: WorkerMachine,
        url: str,
        api_key: str,
        api_secret: str,
        *,
        act: Callable[[Action], None],
        load: Callable[[], float],
    ) -> None:
        """`act` gets every action that does not concern the connection; `load` is reported twice a second. Raises
        ValueError for a URL that can't be a LiveKit server's."""
        self._machine = machine
        self._url = agent_url(url)
        self._shown_url = url
        self._api_key = api_key
        self._api_secret = api_secret
        self._act = act
        self._load = load
        self._ws: aiohttp.ClientWebSocketResponse | None = None
        self._sending: asyncio.Queue[pb.WorkerMessage] = asyncio.Queue()
        self._explained = ""
        self._retry_s = 0.0
        self._dropping: asyncio.Future[None] | None = None
        self._ever_registered = False
        self.trouble = "not registered yet"  # empty if there is none; for the health report

    async def run(self) -> None:
        """Until cancelled. Raises HopelessConnection if the first registration is refused for a reason that only a
        changed setting can fix; after a first success, every problem may be transient."""
        async with aiohttp.ClientSession() as session:
            while True:
                await self._once(session)
                await asyncio.sleep(self._retry_s)

    def perform(self, actions: Iterable[Action]) -> None:
        """Carry out the machine's actions, or pass them on."""
        for action in actions:
            match action:
                case Send(message=message):
                    self._sending.put_nowait(message)
                case Drop(reason=reason):
                    self._drop(reason)
                case RetryAfter(seconds=seconds):
                    self._retry_s = seconds
                case _:
                    self._act(action)

    async def flushed(self) -> None:
        """Wait, for a second at most, until pending data has been passed to the system."""
        for _ in range(20):
            if self._sending.empty() or self._ws is None:
                return
            await asyncio.sleep(0.05)

    # --- one connection -------------------------------------------------------------------------------------------

    async def _once(self, session: aiohttp.ClientSession) -> None:
        loop = asyncio.get_running_loop()
        failure: ConnectFailure | None = None
        closed: asyncio.Future[None] | None = None
        try:
            headers = {"Authorization": f"Bearer {worker_token(self._api_key, self._api_secret)}"}
            async with asyncio.timeout(CONNECT_LIMIT_S):
                ws = await session.ws_connect(
                    self._url, headers=headers, params={"protocol": "1"}, autoping=True, max_msg_size=0
                )
            self._ws = ws
            self._sending = asyncio.Queue()
            self.perform(self._machine.connected(loop.time()))
            await self._converse(ws)
        except aiohttp.WSServerHandshakeError as error:
            failure = await self._refused(session, error)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            failure = ConnectFailure(self._shown_url, str(error) or type(error).__name__)
        finally:
            ws_now, self._ws = self._ws, None
            if ws_now is not None:
                closed = asyncio.ensure_future(_close(ws_now))
            self.perform(self._machine.lost(loop.time()))
        if closed is not None:
            await closed
        self._explain(failure)

    async def _converse(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        tasks = [
            asyncio.create_task(self._receive(ws), name="worker receive"),
            asyncio.create_task(self._send(ws), name="worker send"),
            asyncio.create_task(self._tick(), name="worker tick"),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _receive(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        loop = asyncio.get_running_loop()
        async for message in ws:
            if message.type is not aiohttp.WSMsgType.BINARY:
                continue
            try:
                said = pb.ServerMessage.FromString(message.data)
            except Exception as error:
                raise aiohttp.ClientPayloadError(f"the server sent an invalid ServerMessage: {error}") from error
            self.perform(self._machine.received(said, loop.time()))
            if self._machine.state is WorkerState.REGISTERED and self.trouble:
                self.trouble, self._explained, self._ever_registered = "", "", True
                self.perform(self._machine.status(self._load()))

    async def _send(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        while True:
            await ws.send_bytes((await self._sending.get()).SerializeToString())

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(TICK_S)
            self.perform(self._machine.tick(loop.time()))
            self.perform(self._machine.status(self._load()))

    def _drop(self, reason: str) -> None:
        _log.warning("giving up the connection to LiveKit: %s", reason)
        if self._ws is not None:
            self._dropping = asyncio.ensure_future(_close(self._ws))  # keep a reference, or the task may be collected

    # --- what went wrong ------------------------------------------------------------------------------------------

    async def _refused(self, session: aiohttp.ClientSession, error: aiohttp.WSServerHandshakeError) -> ConnectFailure:
        body = ""
        if error.status in (401, 403):
            # The handshake's answer arrives without its body; a plain request gets the same answer in full.
            token = worker_token(self._api_key, self._api_secret)
            url = "http" + self._url.removeprefix("ws")
            try:
                async with asyncio.timeout(2):
                    async with session.get(url, headers={"Authorization": f"Bearer {token}"}) as response:
                        body = await response.text() if response.status == error.status else ""
            except (aiohttp.ClientError, TimeoutError, OSError):
                pass
        return ConnectFailure(
            self._shown_url, error.message, error.status, body, error.headers.get("Date", "") if error.headers else ""
        )

    def _explain(self, failure: ConnectFailure | None) -> None:
        if failure is None:
            explanation = Explanation(f"LiveKit at {self._shown_url} has closed the connection; trying again", False)
        else:
            explanation = explain(failure, datetime.now(UTC))
        self.trouble = explanation.text
        if explanation.text != self._explained:  # once per problem, not per attempt
            self._explained = explanation.text
            _log.warning("%s", explanation.text)
        if explanation.hopeless and not self._ever_registered:
            raise HopelessConnection(explanation.text)


async def _close(ws: aiohttp.ClientWebSocketResponse) -> None:
    try:
        async with asyncio.timeout(1):
            await ws.close()
    except (TimeoutError, OSError, aiohttp.ClientError):
        pass
