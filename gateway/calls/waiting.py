"""A customer who waits (on hold, or while a transfer's target is called): what they hear; the agent stands still."""

from __future__ import annotations

import asyncio

from gateway.calls.asking_caller import CallerSaid, Listen, ask_caller
from gateway.calls.conversation import Conversation
from gateway.calls.floor import WORDS
from gateway.calls.further_legs import FurtherLegs
from gateway.calls.music import HoldMusic, Music, Sound
from telephony.errors import TelephonyError
from telephony.rooms.protocol import Participant

__all__ = ["TRANSFER", "Waiting"]

TRANSFER = "transfer"  # why a customer waits


class Waiting:
    """Reasons have names, and each ends by itself."""

    def __init__(self, further: FurtherLegs, conversation: Conversation, hold_music: HoldMusic) -> None:
        self._further = further
        self._conversation = conversation
        self._music: Music | None = None
        self._words: Participant | None = None
        self._hold_music = hold_music
        self._sounds: dict[str, tuple[Sound, HoldMusic]] = {}  # why the customer waits -> what they hear
        self._without_agent: set[str] = set()  # why the agent neither hears nor speaks
        self._loop = asyncio.get_running_loop()
        self._fading: asyncio.TimerHandle | None = None

    @property
    def aside(self) -> bool:
        return bool(self._without_agent)

    async def begin(self, why: str, music: HoldMusic | None = None) -> None:
        """From now on the customer hears hold music, `music` if given, and nobody else."""
        self.set_aside(why)
        music = music or self._hold_music
        self.play(why, music.sound, music)
        await self._further.waits(why, True)

    def set_aside(self, why: str) -> None:
        """The agent stands still, whatever the customer hears."""
        if not self._without_agent:
            self._conversation.set_aside()
        self._without_agent.add(why)

    async def with_music(self, why: str) -> None:
        """The same for a customer who talks with somebody else, where the agent is aside already, or as it wishes.
        `heard` ends it."""
        self.play(why, self._hold_music.sound)
        await self._further.waits(why, True)

    def play(self, why: str, sound: Sound, music: HoldMusic | None = None) -> None:
        """Another sound for the same reason; `music`: whose volume and fades it has."""
        music = music or self._hold_music
        self._sounds.pop(why, None)
        self._sounds[why] = sound, music
        self._stop_fading()
        room = self._further.room
        if room is None:
            return
        try:
            self._music = self._music or Music(room)
            self._music.play(sound, music.volume, music.fade_ms)
        except TelephonyError:  # the room is closed: nobody waits any more
            self._music = None

    async def say(self, pcm: bytes) -> bool:
        """To the customer, over the music. Whether all of it was played."""
        room = self._further.room
        if room is None or self._music is None or not pcm:
            return False
        try:
            self._words = self._words or room.add_agent(WORDS)
        except TelephonyError:  # the room is closed, or takes nobody else
            return False
        output = self._words.audio_output
        self._music.under_words(True)
        try:
            output.push(pcm)
            output.flush()
            return await output.wait_played(output.queued_ms) is not None
        finally:
            if self._music is not None:
                self._music.under_words(False)

    async def ask(self, question: bytes, listen: Listen) -> CallerSaid:
        """Ask the customer, who waits, something instead of the music, and record the answer."""
        room = self._further.room
        if room is None:
            return CallerSaid()
        try:
            self._words = self._words or room.add_agent(WORDS)
        except TelephonyError:  # the room is closed, or takes nobody else
            return CallerSaid()
        await self._further.asks(True)
        try:
            return await ask_caller(self._words, question, listen)
        finally:
            if TRANSFER in self._sounds:
                self.play(TRANSFER, *self._sounds[TRANSFER])  # from its beginning
            await self._further.asks(False)

    async def heard(self, why: str) -> None:
        """The customer hears people again, unless there is another reason; not yet the agent."""
        if self._sounds.pop(why, None) is None:
            return
        fade_s = self._music.fade_s if self._music is not None and not self._sounds else 0.0
        await self._further.waits(why, False, fading=fade_s > 0)
        if self._sounds:
            last = next(reversed(self._sounds))
            self.play(last, *self._sounds[last])
        elif self._music is not None and fade_s > 0:
            self._music.fade_out()
            self._fading = self._loop.call_later(fade_s, self._faded)
        else:
            self._stop()

    async def end(self, why: str, *, words: str = "", note: str = "") -> None:
        """The customer is with the agent again, unless there is another reason. `words`: the key of a canned phrase
        that the agent begins with; `note`: for the model."""
        await self.heard(why)
        if why not in self._without_agent:
            return
        self._without_agent.discard(why)
        if not self._without_agent:
            self._conversation.take_back(words=words, note=note)

    def close(self) -> None:
        self._stop()

    def _faded(self) -> None:
        self._stop()
        self._further.faded()

    def _stop_fading(self) -> None:
        if self._fading is not None:
            self._fading.cancel()
            self._fading = None

    def _stop(self) -> None:
        self._stop_fading()
        words, self._words = self._words, None
        if words is not None:
            words.leave()
        if self._music is not None:
            self._music.stop()
