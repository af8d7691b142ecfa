"""Checks whether the program behind a participant still runs: any answer to an RPC is a sign of life.

LiveKit server notices a killed LiveKit SIP only after 20 s, by its media; a caller must not wait that long for the end.
The RPC goes through the server: if it hangs, or packets don't get there, nobody answers either, and LiveKit's SDK takes
12 to 15 s to find that out. So when answers stop, we look into who has failed.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Any

from telephony.livekit.errors import LiveKitError, RpcFailed

__all__ = ["ALIVE", "EVERY_S", "NO_SERVER", "Liveness", "Silence", "asked_by_server", "liveness_of", "until_silent"]

ALIVE = "trunkline.alive"  # an RPC that nobody serves: a refusal counts as an answer
EVERY_S = 2.0  # one probe costs 5 ms of CPU in all, in three programs
ANSWER_S = 1.5  # anything longer is a miss; 10 ms is usual
MISSES = 2  # in a row: a death is suspected after 5.5 s at most
NO_SERVER = "LiveKit server no longer answers: it hangs, or the network is down"
_ANSWER_MS = 1000
_NO_ANSWER = frozenset({1501, 1502, 1503})  # RpcError.ErrorCode: no connection, no response, recipient gone
_NOT_THERE = 1401
_RPC_ERROR = re.compile(r"RpcError (\d+)")


class Liveness(Enum):
    """The result of one probe."""

    ALIVE = "alive"
    SILENT = "silent"
    UNKNOWN = "unknown"  # our own connection is broken, or there is no such participant


class Silence(Enum):
    """The result of checking by another way who has failed."""

    THEIRS = "theirs"  # the server gets no sign of life from them either, or has seen them leave
    OURS = "ours"  # the server does not answer us either
    NONE = "none"  # they are alive, or the server can't tell


async def until_silent(
    ask: Callable[[], Awaitable[Liveness]],
    confirm: Callable[[], Awaitable[Silence]] | None = None,
    *,
    patience_s: float = 0.0,
) -> Silence:
    """Return when a participant that has answered before misses twice in a row and `confirm`, which checks by another
    way, says whose failure it is; without `confirm`, after three misses in a row. A participant that has never answered
    is never missed: not every program supports these probes. `patience_s`: how long after their last sign of life to
    wait for another one, or for a replacement (which cancels this), before returning a failure of theirs."""
    clock = asyncio.get_running_loop().time
    known, missed, alive_at = False, 0, clock()
    while True:
        begun = clock()
        seen = await _asked(ask, ANSWER_S)
        if seen is Liveness.ALIVE:
            known, missed, alive_at = True, 0, clock()
        elif seen is Liveness.SILENT and known:
            missed += 1
        if missed >= (MISSES if confirm is not None else MISSES + 1):
            silence = Silence.THEIRS if confirm is None else await confirm()
            if silence is Silence.THEIRS and (left_s := alive_at + patience_s - clock()) > 0:
                if await _asked(ask, left_s) is Liveness.ALIVE:
                    silence, alive_at = Silence.NONE, clock()
                else:
                    await asyncio.sleep(max(0.0, alive_at + patience_s - clock()))
            if silence is not Silence.NONE:
                return silence
            missed = 0
        await asyncio.sleep(max(0.0, begun + EVERY_S - clock()))


async def _asked(ask: Callable[[], Awaitable[Liveness]], limit_s: float) -> Liveness:
    try:
        async with asyncio.timeout(limit_s):
            return await ask()
    except TimeoutError:
        return Liveness.SILENT


async def liveness_of(call: Awaitable[str]) -> Liveness:
    """Probe by calling the method `ALIVE` in a room."""
    try:
        await call
    except RpcFailed as error:
        if error.code == _NOT_THERE:
            return Liveness.UNKNOWN
        return Liveness.SILENT if error.code in _NO_ANSWER else Liveness.ALIVE
    except LiveKitError:
        return Liveness.UNKNOWN
    return Liveness.ALIVE


async def asked_by_server(rooms: Any, room: str, identity: str) -> Liveness:
    """The same through LiveKit server, from outside the room. `rooms`: the `RoomService` of livekit.api, which has no
    function for it."""
    import aiohttp
    from livekit.api import TwirpError, VideoGrants
    from livekit.protocol.room import PerformRpcRequest, PerformRpcResponse

    request = PerformRpcRequest(room=room, destination_identity=identity, method=ALIVE, response_timeout_ms=_ANSWER_MS)
    headers = rooms._auth_header(VideoGrants(room_admin=True, room=room))
    try:
        async with asyncio.timeout(ANSWER_S):
            await rooms._client.request("RoomService", "PerformRpc", request, headers, PerformRpcResponse)
    except TwirpError as error:
        code = _RPC_ERROR.search(error.message)
        if code is None or int(code[1]) == _NOT_THERE:
            return Liveness.UNKNOWN
        return Liveness.SILENT if int(code[1]) in _NO_ANSWER else Liveness.ALIVE
    except (aiohttp.ClientError, TimeoutError):
        return Liveness.UNKNOWN
    return Liveness.ALIVE
