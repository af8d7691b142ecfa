"""What a stay in a queue needs of its call's transfers; implements `QueueSide` together with `CallTransfers`."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from agent.said import Heard, Said
from gateway.calls.conversation import Closes, Conversation
from gateway.calls.dialling import Dialler
from gateway.calls.further_legs import FurtherLegs
from gateway.calls.music import HoldMusic
from gateway.calls.session import CUSTOMER
from gateway.calls.waiting import TRANSFER, Waiting
from telephony.errors import DialRefused, TelephonyError
from telephony.rooms.protocol import Participant

__all__ = ["WaitsInQueues"]

LISTENS = "hears who waits"


class WaitsInQueues:
    caller_number: str
    _call_id: str
    _conversation: Conversation
    _dialler: Dialler | None
    _further: FurtherLegs
    _waiting: Waiting
    _for_agent: bool
    _hears: tuple[Participant, Closes] | None = None

    async def ask_queues(self, verb: str, **how: Any) -> Mapping[str, Any]:
        if self._dialler is None:
            raise DialRefused("not_possible", "this call cannot wait in a queue")
        return await self._dialler.ask_queues(self._call_id, verb, how)

    async def wait(self, announce: str, music: HoldMusic | None) -> None:
        await self._finish_speaking(announce)
        await self._waiting.begin(TRANSFER, music)

    def aside(self) -> None:
        self._waiting.set_aside(TRANSFER)

    def keys_to(self, takes: Callable[[str], None] | None) -> None:
        self._further.waiting_keys = takes

    def words_to(self, takes: Callable[[str], None] | None) -> None:
        hears, self._hears = self._hears, None
        if hears is not None:
            hears[1].close()
            hears[0].leave()
        room = self._further.room
        if takes is None or room is None:
            return
        try:
            place = room.add_agent(LISTENS)
        except TelephonyError:  # the room is closing, or takes nobody else
            return

        def told(heard: Heard) -> None:
            if isinstance(heard, Said):
                takes(heard.text)

        listens = self._conversation.listen(place.hear_apart(CUSTOMER), told)
        if listens is None:
            place.leave()
        else:
            self._hears = place, listens

    async def with_persona(self, file: str, name: str) -> bool:
        await self._waiting.end(TRANSFER, words="queue_overflow")
        return await self._conversation.hand_over(file, name)

    def back_with(self, words: str, note: str) -> None:
        if self._for_agent:
            words = note = ""
        self._spawn(self._waiting.end(TRANSFER, words=words, note=note))

    async def _finish_speaking(self, announce: str) -> None:
        raise NotImplementedError

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        raise NotImplementedError
