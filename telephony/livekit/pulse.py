"""Whether the program behind a participant still runs: it is asked something, and any answer is a sign of life.

LiveKit server notices a killed LiveKit SIP after 20 s only, by its media; a caller must not wait so long for the end.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Any

from telephony.livekit.errors import LiveKitError, RpcFailed

__all__ = ["ALIVE", "EVERY_S", "Pulse", "asked_by_server", "pulse_of", "until_silent"]

ALIVE = "trunkline.alive"  # RPC that nobody serves: a refusal is an answer
EVERY_S = 2.0  # asking costs 5 ms of CPU in all, at three programs
MISSES = 2  # in a row: at most 6 s from a death to the suspicion of it
_ANSWER_MS = 1000
_NO_ANSWER = frozenset({1501, 1502, 1503})  # RpcError.ErrorCode: no connection, no response, recipient gone
_NOT_THERE = 1401
_RPC_ERROR = re.compile(r"RpcError (\d+)")


class Pulse(Enum):
    """What asking once has shown."""

    ALIVE = "alive"
    SILENT = "silent"
    UNKNOWN = "unknown"  # our own connection is broken, or there is nobody of that name


async def until_silent(
    ask: Callable[[], Awaitable[Pulse]], confirm: Callable[[], Awaitable[bool]] | None = None
) -> None:
    """Return when one who has answered before is silent twice in a row, and `confirm`, asked by another way, finds so
    too; three times in a row, if there is no other way. One who never answers is never missed: not every program knows
    of such questions. What takes longer than `EVERY_S` is a silence."""
    known, missed = False, 0
    while True:
        begun = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(EVERY_S):
                pulse = await ask()
        except TimeoutError:
            pulse = Pulse.SILENT
        if pulse is Pulse.ALIVE:
            known, missed = True, 0
        elif pulse is Pulse.SILENT and known:
            missed += 1
        if missed >= (MISSES if confirm is not None else MISSES + 1):
            if confirm is None or await confirm():
                return
            missed = 0
        await asyncio.sleep(max(0.0, begun + EVERY_S - asyncio.get_running_loop().time()))


async def pulse_of(call: Awaitable[str]) -> Pulse:
    """What calling the method `ALIVE` in a room comes to."""
    try:
        await call
    except RpcFailed as error:
        if error.code == _NOT_THERE:
            return Pulse.UNKNOWN
        return Pulse.SILENT if error.code in _NO_ANSWER else Pulse.ALIVE
    except LiveKitError:
        return Pulse.UNKNOWN
    return Pulse.ALIVE


async def asked_by_server(rooms: Any, room: str, identity: str) -> Pulse:
    """The same by LiveKit server, for whom is not in the room. `rooms`: the `RoomService` of livekit.api, which has no
    function of its own for it."""
    import aiohttp
    from livekit.api import TwirpError, VideoGrants
    from livekit.protocol.room import PerformRpcRequest, PerformRpcResponse

    request = PerformRpcRequest(room=room, destination_identity=identity, method=ALIVE, response_timeout_ms=_ANSWER_MS)
    headers = rooms._auth_header(VideoGrants(room_admin=True, room=room))
    try:
        await rooms._client.request("RoomService", "PerformRpc", request, headers, PerformRpcResponse)
    except TwirpError as error:
        code = _RPC_ERROR.search(error.message)
        if code is None or int(code[1]) == _NOT_THERE:
            return Pulse.UNKNOWN
        return Pulse.SILENT if int(code[1]) in _NO_ANSWER else Pulse.ALIVE
    except (aiohttp.ClientError, TimeoutError):
        return Pulse.UNKNOWN
    return Pulse.ALIVE
