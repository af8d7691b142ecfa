"""A job and the call worker that keeps its call: what the worker has the agent do, and what the agent asks of it."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import structlog

from gateway.calls.collecting import Collected, CollectOrder
from gateway.calls.conversation import NotTalking
from gateway.calls.verbs import VerbRefused
from gateway.livekit.agent_commands import BRIEFING, COLLECT, VOICED
from gateway.livekit.agent_requests import DistantVerbs
from gateway.livekit.asking import RoomAnswers, RoomQuestions
from telephony.errors import DialRefused
from telephony.livekit.errors import LiveKitError
from telephony.livekit.events import AttributesChanged, LiveKitEvent
from telephony.livekit.verbs import ASIDE_ATTRIBUTE, DRAIN, FINISH_SPEAKING, MUTED_ATTRIBUTE, SAY, TAKE_BACK
from telephony.media.g711 import encode_ulaw

if TYPE_CHECKING:
    from telephony.livekit.room import LiveKitRoom

__all__ = ["KeeperLink"]

log = structlog.get_logger(__name__)
PIECE_BYTES = 9000  # in base64 12,000: LiveKit takes data packets of up to 15 KiB


class Talks(Protocol):
    """What it needs of the job's conversation."""

    @property
    def begun(self) -> bool: ...

    async def say(self, text: str, *, allow_interruptions: bool) -> None: ...

    async def collect(self, order: CollectOrder) -> Collected: ...

    async def finish_speaking(self, announce: str, limit_s: float) -> None: ...

    def set_aside(self) -> None: ...

    def take_back(self, *, words: str = "", note: str = "") -> None: ...

    def mute_caller(self, muted: bool) -> None: ...

    async def voiced(self, text: str) -> bytes: ...

    async def briefing(self) -> str: ...


class KeeperLink:
    def __init__(self, room: LiveKitRoom, keeper: str, drain: Callable[[str], None]) -> None:
        """`keeper`: the worker's identity. `drain(reason)`: the agent is to say goodbye and end the call."""
        self._room = room
        self._keeper = keeper
        self._drain = drain
        self._conversation: Talks | None = None
        self._aside = self._muted = False  # as the agent has been told
        self._unsubscribe = room.subscribe(self._happened)
        self._questions = RoomQuestions(room, keeper)
        handlers = {COLLECT: self._collect, VOICED: self._voiced, BRIEFING: self._briefing}
        self._spoken = ("", b"")  # what the worker fetches in pieces: the text, and its audio (PCMU)
        self._answers = RoomAnswers(room, lambda identity: identity == keeper, handlers)
        self.verbs = DistantVerbs(self._questions)
        for method, served in (
            (DRAIN, self._asked_to_drain),
            (SAY, self._asked_to_say),
            (FINISH_SPEAKING, self._asked_to_finish),
            (TAKE_BACK, self._asked_to_take_back),
        ):
            room.serve(method, served)

    def use(self, conversation: Talks) -> None:
        """The agent's."""
        self._conversation = conversation

    def close(self) -> None:
        self._unsubscribe()
        self._questions.close()
        self._answers.close()

    # --- the agent stands still --------------------------------------------------------------------------------------

    def apply(self) -> None:
        """The agent has begun, or its worker says something new: it is aside as long as the customer waits or is with
        somebody else."""
        attributes = next((who.attributes for who in self._room.participants if who.identity == self._keeper), {})
        aside, muted = ASIDE_ATTRIBUTE in attributes, MUTED_ATTRIBUTE in attributes
        if self._conversation is None or not self._conversation.begun:
            return
        if aside is not self._aside:
            self._aside = aside
            self._conversation.set_aside() if aside else self._conversation.take_back()
        if muted is not self._muted:
            self._muted = muted
            self._conversation.mute_caller(muted)

    def _happened(self, event: LiveKitEvent) -> None:
        if isinstance(event, AttributesChanged) and event.identity == self._keeper:
            self.apply()

    # --- RPCs of the worker ------------------------------------------------------------------------------------------

    async def _asked_to_drain(self, identity: str, payload: str) -> str:
        """Its gateway shuts down, or its API ends the call."""
        self._read(identity, payload)
        self._drain("the gateway is shutting down")
        return ""

    async def _asked_to_say(self, identity: str, payload: str) -> str:
        asked = self._read(identity, payload)
        try:
            await self._talking().say(
                str(asked["text"]), allow_interruptions=bool(asked.get("allow_interruptions", True))
            )
        except KeyError as error:
            raise LiveKitError(f"nothing to say: {error!r}") from error
        except NotTalking as error:
            raise LiveKitError(str(error)) from error
        return ""

    async def _asked_to_finish(self, identity: str, payload: str) -> str:
        asked = self._read(identity, payload)
        await self._talking().finish_speaking(str(asked.get("announce", "")), float(asked.get("limit_s", 10.0)))
        return ""

    async def _asked_to_take_back(self, identity: str, payload: str) -> str:
        asked = self._read(identity, payload)
        self._aside = False
        self._talking().take_back(words=str(asked.get("words", "")), note=str(asked.get("note", "")))
        return ""

    async def _collect(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            return (await self._talking().collect(CollectOrder.from_dict(body))).to_dict()
        except VerbRefused as refused:
            raise DialRefused(refused.kind, str(refused), retryable=refused.retryable) from None
        except (NotTalking, LiveKitError) as error:
            raise DialRefused("not_talking", str(error)) from None

    async def _voiced(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Words for somebody else than the caller."""
        text, at = str(body["text"]), int(body["from"])
        if at == 0:
            self._spoken = (text, encode_ulaw(await self._with_agent().voiced(text)))
        of, audio = self._spoken
        if of != text:
            raise DialRefused("failed", "other words have been made meanwhile")
        piece = audio[at : at + PIECE_BYTES]
        return {"pcmu": b64encode(piece).decode(), "more": at + len(piece) < len(audio)}

    async def _briefing(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"text": await self._with_agent().briefing()}

    def _with_agent(self) -> Talks:
        try:
            return self._talking()
        except LiveKitError as error:
            raise DialRefused("not_talking", str(error)) from None

    def _talking(self) -> Talks:
        if self._conversation is None:
            raise LiveKitError("the conversation has not begun yet")
        return self._conversation

    def _read(self, identity: str, payload: str) -> dict[str, Any]:
        """Anyone else in the room may not command us."""
        if identity != self._keeper:
            raise LiveKitError(f"{identity} may not command this agent")
        try:
            asked = json.loads(payload or "{}")
        except ValueError as error:
            raise LiveKitError(f"the payload is not JSON: {error}") from error
        if not isinstance(asked, dict):
            raise LiveKitError("the payload is not a JSON object")
        return asked
