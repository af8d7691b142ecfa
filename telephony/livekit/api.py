"""LiveKit's server API, as far as calls need it, over one warm HTTP connection. Loads livekit.api when created."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Any, Protocol, TypeVar

import aiohttp

from telephony.livekit.access import LiveKitAccess, RoomPlan
from telephony.livekit.errors import (
    LiveKitError,
    LiveKitRefused,
    LiveKitTimeout,
    LiveKitUnreachable,
    NotInRoom,
    connect_error,
    no_such_path,
)
from telephony.livekit.liveness import Liveness, Silence, asked_by_server

__all__ = ["LiveKitApi", "RoomApi", "whose_silence"]

_T = TypeVar("_T")
_TIMEOUT_S = 5.0
_HASTY_S = 1.25  # for a server suspected of hanging, during a call
_KEEP_ALIVE_S = 300.0
CLOCK_LIMIT_S = 60.0  # LiveKit's leeway for tokens


class RoomApi(Protocol):
    """What a room and its verbs need from the API."""

    async def remove_participant(self, room: str, identity: str) -> None: ...

    async def update_subscriptions(self, room: str, identity: str, tracks: Sequence[str], subscribe: bool) -> None:
        """Subscribe a participant to these tracks (sids), or unsubscribe it. Raises LiveKitError."""


class LiveKitApi:
    """Implements `RoomApi`. All methods raise LiveKitError, whose message says what to do."""

    def __init__(self, access: LiveKitAccess, timeout_s: float = _TIMEOUT_S) -> None:
        """Create on the loop. `timeout_s`: per request."""
        from livekit import api

        self._access = access
        self._timeout_s = timeout_s
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=timeout_s),
            connector=aiohttp.TCPConnector(keepalive_timeout=_KEEP_ALIVE_S),
        )
        self._sdk = api
        self._api = api.LiveKitAPI(access.http_url, access.api_key, access.api_secret, session=self._session)

    async def check(self) -> None:
        """Check that the server answers, accepts our keys, and has the same time as we do. Also warms the
        connection."""
        try:
            async with self._session.get(self._access.http_url) as answer:
                self._check_clock(answer.headers.get("Date"))
        except TimeoutError as error:
            raise self._too_late() from error
        except (aiohttp.ClientError, ValueError) as error:
            raise self._unreachable(error) from error
        await self._asked(self._api.room.list_rooms(self._sdk.ListRoomsRequest(names=["trunkline-check"])))

    async def create_room(self, name: str, plan: RoomPlan) -> None:
        """Create a room, for servers that do not when somebody joins, and dispatch its agents."""
        sdk = self._sdk
        await self._asked(
            self._api.room.create_room(
                sdk.CreateRoomRequest(
                    name=name,
                    metadata=plan.metadata,
                    empty_timeout=plan.empty_timeout_s,
                    departure_timeout=plan.departure_timeout_s,
                    # Here, not afterwards: a room created without agents gets the ones that take any room.
                    agents=[
                        sdk.RoomAgentDispatch(agent_name=each.agent_name, metadata=each.metadata)
                        for each in plan.dispatches
                    ],
                )
            )
        )

    async def dispatch(self, room: str, agent_name: str, metadata: str) -> None:
        """Dispatch an agent to a room."""
        request = self._sdk.CreateAgentDispatchRequest(agent_name=agent_name, room=room, metadata=metadata)
        await self._asked(self._api.agent_dispatch.create_dispatch(request))

    async def remove_participant(self, room: str, identity: str) -> None:
        """For a phone behind LiveKit SIP this sends its BYE. A participant that has left is no error."""
        request = self._sdk.RoomParticipantIdentity(room=room, identity=identity)
        with suppress(NotInRoom):
            await self._asked(self._api.room.remove_participant(request))

    async def update_subscriptions(self, room: str, identity: str, tracks: Sequence[str], subscribe: bool) -> None:
        request = self._sdk.UpdateSubscriptionsRequest(
            room=room, identity=identity, track_sids=list(tracks), subscribe=subscribe
        )
        await self._asked(self._api.room.update_subscriptions(request))

    async def liveness(self, room: str, identity: str) -> Liveness:
        """Whether the program behind this participant still runs, as the server sees it. Never raises."""
        return await asked_by_server(self._api.room, room, identity)

    async def has(self, room: str, identity: str) -> bool:
        """Whether the server knows of this participant."""
        request = self._sdk.RoomParticipantIdentity(room=room, identity=identity)
        try:
            await self._asked(self._api.room.get_participant(request))
        except NotInRoom:
            return False
        return True

    async def has_people(self, room: str) -> bool:
        """Whether a person is in the room: neither a phone nor a program."""
        listed = await self._asked(self._api.room.list_participants(self._sdk.ListParticipantsRequest(room=room)))
        return any(who.kind == self._sdk.ParticipantInfo.Kind.STANDARD for who in listed.participants)

    async def delete_room(self, room: str) -> None:
        """Remove everybody. A room that no longer exists is no error."""
        with suppress(NotInRoom):
            await self._asked(self._api.room.delete_room(self._sdk.DeleteRoomRequest(room=room)))

    async def close(self) -> None:
        await self._session.close()

    async def _asked(self, request: Awaitable[_T]) -> _T:
        try:
            async with asyncio.timeout(self._timeout_s):  # the SDK disables the session's own
                return await request
        except self._sdk.TwirpError as error:
            raise self._refused(error) from error
        except TimeoutError as error:
            raise self._too_late() from error
        except (aiohttp.ClientError, ValueError) as error:
            raise self._unreachable(error) from error

    def _refused(self, error: Any) -> LiveKitError:
        """The API answers 401 without a text, so name all possible causes."""
        if error.status in (401, 403):
            return LiveKitRefused(
                f"LiveKit at {self._access.url}: keys refused: livekit.api_key and livekit.api_secret must be a "
                "pair in the `keys` of the server's configuration, and both machines' clocks must agree (NTP)"
            )
        if error.code == self._sdk.TwirpErrorCode.NOT_FOUND and error.message:
            return NotInRoom(f"LiveKit at {self._access.url}: {error.message}"[:300])
        if error.status in (404, 405) and not error.message:
            return no_such_path(self._access.url)
        known = connect_error(self._access.url, error.message)
        if isinstance(known, LiveKitUnreachable) and error.status >= 500:
            return known
        return LiveKitError(f"LiveKit at {self._access.url}: {error.code}: {error.message}"[:300])

    def _too_late(self) -> LiveKitTimeout:
        return LiveKitTimeout(
            f"LiveKit at {self._access.url}: no answer within {self._timeout_s:g} s: the server hangs, or a firewall "
            "in between drops packets"
        )

    def _unreachable(self, error: Exception) -> LiveKitError:
        known = connect_error(self._access.url, str(error))
        if isinstance(known, LiveKitUnreachable | LiveKitTimeout):
            return known
        return LiveKitUnreachable(f"LiveKit at {self._access.url}: cannot be reached ({error})")

    def _check_clock(self, date: str | None) -> None:
        if date is None:
            return
        ahead_s = time.time() - parsedate_to_datetime(date).timestamp()
        if abs(ahead_s) > CLOCK_LIMIT_S:
            which = "ahead of" if ahead_s > 0 else "behind"
            raise LiveKitRefused(
                f"LiveKit at {self._access.url}: this machine's clock is {abs(ahead_s):.0f} s {which} the server's, so "
                "tokens are refused: synchronise both with NTP"
            )


async def whose_silence(access: LiveKitAccess, room: str, identity: str) -> Silence:
    """What LiveKit server says about a participant who does not answer us. It may have seen them leave when we missed
    it."""
    api = LiveKitApi(access, _HASTY_S)
    try:
        if await api.has(room, identity) and await api.liveness(room, identity) is not Liveness.SILENT:
            return Silence.NONE
        return Silence.THEIRS
    except (LiveKitTimeout, LiveKitUnreachable):
        return Silence.OURS
    except LiveKitError:
        return Silence.NONE
    finally:
        await api.close()
