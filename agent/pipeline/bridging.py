"""Bridges waits: checks for due answers and silence, and says fillers."""

from __future__ import annotations

from collections.abc import Callable

from agent.pipeline.activities import Activities
from agent.pipeline.alarm import Alarm
from agent.pipeline.runtime import Runtime
from agent.pipeline.talker import Talker
from agent.turns.dead_air import DeadAir, Filler

__all__ = ["Bridging"]

_LOOK_EVERY_S = 0.5  # while audio is playing: nothing signals that the output runs dry during an answer


class Bridging:
    """Call `changed` after any event. Continues while the session ends, as a farewell may be pending, too."""

    def __init__(
        self,
        runtime: Runtime,
        activities: Activities,
        talker: Talker,
        *,
        caller_speaks: Callable[[], bool],
        caller_waits: Callable[[], bool],
    ) -> None:
        """`caller_waits`: something the caller said is not settled yet."""
        self._runtime = runtime
        self._activities = activities
        self._caller_speaks = caller_speaks
        self._talker = talker
        self._caller_waits = caller_waits
        heard = runtime.output is not None and activities.top.cast.tts is not None
        self._machine = DeadAir(first_ms=runtime.options.filler_ms if heard else None)
        self._alarm = Alarm(runtime.loop, self, self._perform)
        self._owed_since: float | None = None
        self._look_at: float | None = None
        self._sound_until = runtime.now()
        self._last_sound_at = runtime.now()
        self._enabled = heard and runtime.options.filler_ms is not None

    def changed(self) -> None:
        if self._enabled:
            self._look(self._runtime.now())
            self._alarm.set()

    def sound(self, until: float) -> None:
        """Something other than the agent's words was audible until then: the caller, or an announcement."""
        self._last_sound_at = max(self._last_sound_at, until)

    def stop(self) -> None:
        self._enabled = False
        self._alarm.cancel()

    # --- the alarm's machine --------------------------------------------------------------------------------------

    @property
    def deadline(self) -> float | None:
        times = [at for at in (self._machine.deadline, self._look_at) if at is not None]
        return min(times, default=None)

    def tick(self, now: float) -> tuple[Filler, ...]:
        self._look(now)
        return self._machine.tick(now)

    def _look(self, now: float) -> None:
        speaker = self._talker.speaker
        self._look_at = None
        owed = self._talker.owes or (self._caller_waits() and not speaker.closed)
        if speaker.held or speaker.silenced or (self._activities.top.asking and not speaker.busy):
            owed = False  # nobody is listening, or it is the caller's turn
        if not owed:
            self._owed_since = None
            self._machine.answered()
            return
        if self._owed_since is None:
            self._owed_since = now
        if self._caller_speaks() and not speaker.closed:
            self._machine.answered()
            return
        output = self._runtime.output
        if speaker.paused or output is None:
            self._machine.attended()
            return
        sound_s = (output.queued_ms - output.played_ms) / 1000
        if sound_s > 0:
            self._look_at = now + _LOOK_EVERY_S
            if speaker.filler is None:
                self._machine.answered()
            self._sound_until = now + sound_s
        else:
            self._sound_until = min(self._sound_until, now)  # it may have been cut
        self._machine.waits(max(self._owed_since, self._last_sound_at, speaker.silent_since, self._sound_until))

    def _perform(self, fillers: tuple[Filler, ...]) -> None:
        for filler in fillers:
            self._talker.voice.fill(filler.canned)
