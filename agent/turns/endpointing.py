"""Decides when the caller is done, and why. Pure: the shell calls `tick` at `deadline`.

    idle --SpeechStarted--> speech --SpeechEnded--> silence --the delay--> idle, TurnDecided("silence")
                               ^  |                    |
                               |  +--max_turn_ms: TurnDecided("forced"), a new turn begins
                               +------SpeechStarted----+ (the same turn continues)

    speech, silence --EndOfTurn, not eager, detection "stt"--> idle, TurnDecided("end_of_turn")
    speech, silence --commit--> idle, TurnDecided("committed")

The delay after the last sound depends on who detects turns, and on how likely it is that the caller has finished:

    vad     end_silence_ms; after an EndOfTurn min_delay_ms if it is likely, max_delay_ms if not
    stt     max_delay_ms: the recogniser has usually ended the turn by then; end_silence_ms while its stream is lost
    manual  never: only `commit` decides

With "vad", the words take precedence over likelihoods if the question is known (`expect`): the delay is min_delay_ms
after a complete answer and max_delay_ms after an incomplete one. `dynamic`: a delay learnt from the caller's own pauses
replaces end_silence_ms, between min_delay_ms and max_delay_ms.

`hold` suspends everything and asks for the text; `resume` decides at once on what the caller said before.

FlushSpeech asks the recogniser for the text of this piece of speech: after `flush_after_ms` of silence, so that it has
arrived when the silence is over; with "stt" only if the recogniser does not end the turn itself. Speech that continues
after a flush is another piece of the same turn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from agent.turns.expected import Completeness, Expected, completeness
from agent.turns.rhythm import Rhythm
from agent.turns.signals import (
    EndOfTurn,
    Final,
    Signal,
    SpeechEnded,
    SpeechStarted,
    TurnDetection,
    TurnResumed,
)

__all__ = ["Decided", "EndpointAction", "Endpointing", "EndpointingSettings", "FlushSpeech", "TurnDecided"]

_CUT_OFF_S = 1.5  # someone who speaks again this soon after a turn's last sound had not finished
Decided = Literal["silence", "end_of_turn", "committed", "forced"]


@dataclass(frozen=True, slots=True)
class EndpointingSettings:
    """Times are milliseconds, `likely` is a likelihood."""

    detection: TurnDetection = "vad"
    end_silence_ms: float = 550
    flush_after_ms: float = 160
    max_turn_ms: float = 60_000
    min_delay_ms: float = 300
    max_delay_ms: float = 3000
    likely: float = 0.5  # at least this likely: the caller has probably finished
    dynamic: bool = False


@dataclass(frozen=True, slots=True)
class FlushSpeech:
    """Ask for the final text since the last flush."""


@dataclass(frozen=True, slots=True)
class TurnDecided:
    """The caller is done. `at`: when that was due; `speech_ended_at`: when the last sound of speech was heard. `why`:
    the reason, for people."""

    at: float
    started_at: float
    speech_ended_at: float
    reason: Decided
    why: str = ""


EndpointAction = FlushSpeech | TurnDecided


class Endpointing:
    def __init__(self, settings: EndpointingSettings | None = None) -> None:
        self.settings = settings or EndpointingSettings()
        self.state: Literal["idle", "speech", "silence"] = "idle"
        self.started_at = 0.0  # of the turn
        self.ended_at = 0.0  # of its latest piece of speech
        self.flushed = False
        self.likelihood: float | None = None  # that the caller has finished, since the last sound
        self._lost = False
        self._held = False
        self._expected: Expected | None = None
        self._language = "en"
        self._answer: Completeness = "open"  # how complete the answer is, by the words since the last sound
        self._rhythm = Rhythm(
            start_ms=self.settings.end_silence_ms,
            least_ms=self.settings.min_delay_ms,
            most_ms=self.settings.max_delay_ms,
        )
        self._silent_since: float | None = None  # a turn was decided by silence, and nothing heard since

    @property
    def deadline(self) -> float | None:
        """Loop-clock time at which `tick` is due."""
        if self._held or self.state == "idle":
            return None
        times = [self._forced_at, self._flush_at, self._decision_at]
        return min((at for at in times if at is not None), default=None)

    def heard(self, signal: Signal) -> tuple[EndpointAction, ...]:
        """Raises ValueError if speech ends that had not begun."""
        match signal:
            case SpeechStarted(at=at, noticed_at=now):
                return self._speech_started(at, now)
            case SpeechEnded(at=at, noticed_at=now):
                return self._speech_ended(at, now)
            case Final(text=text, at=now):
                if self._expected is not None and self.state == "silence":
                    self._answer = completeness(self._expected, text, self._language)
                return self.tick(now)
            case EndOfTurn():
                return self._end_of_turn(signal)
            case TurnResumed(at=now):
                self.likelihood = None
                return self.tick(now)
            case _:
                return ()

    def expect(self, expected: Expected | None, language: str) -> None:
        """From now on, this is what the caller has been asked for."""
        self._expected, self._language = expected, language
        self._answer = "open"

    def tick(self, now: float) -> tuple[EndpointAction, ...]:
        if self._forced_at is not None and now >= self._forced_at:
            return self._force(now)
        if self._held:
            return ()
        actions: tuple[EndpointAction, ...] = ()
        if self._flush_at is not None and now >= self._flush_at:
            self.flushed = True
            actions = (FlushSpeech(),)
        if self._decision_at is not None and now >= self._decision_at:
            actions += self._decide("silence", max(now, self._decision_at), self.ended_at, self._silence_words)
        return actions

    def commit(self, now: float) -> tuple[EndpointAction, ...]:
        """The application says that the caller is done. Ongoing speech is split."""
        if self.state == "idle":
            return ()
        speaking = self.state == "speech"
        actions = self._decide("committed", now, now if speaking else self.ended_at, "committed by the application")
        if speaking:
            self.state, self.started_at, self.flushed = "speech", now, False
        return actions

    def lost(self, now: float) -> tuple[EndpointAction, ...]:
        """The recogniser's stream broke: until `recovered`, silence ends turns."""
        self._lost = True
        return self.tick(now)

    def recovered(self) -> None:
        self._lost = False

    def hold(self) -> tuple[EndpointAction, ...]:
        """The caller hears nothing and is not heard. Ongoing speech has been ended first."""
        self._held = True
        if self.state != "silence" or self.flushed:
            return ()
        self.flushed = True
        return (FlushSpeech(),)

    def resume(self, now: float) -> tuple[EndpointAction, ...]:
        """Speech from before the hold becomes a turn."""
        self._held = False
        if self.state != "silence" or self.settings.detection == "manual":
            return ()
        return self._decide("silence", now, self.ended_at, "the caller came back from hold")

    def discard(self) -> None:
        """Discard the pending user turn (a backchannel). Ongoing speech starts a new one."""
        self.likelihood, self._answer = None, "open"
        if self.state == "silence":
            self.state = "idle"

    # --- signals --------------------------------------------------------------------------------------------------

    def _speech_started(self, at: float, now: float) -> tuple[EndpointAction, ...]:
        self._note_pause(at)
        if self.state == "idle":
            self.started_at = at
        self.state = "speech"
        self.flushed = False
        self.likelihood, self._answer = None, "open"
        return self.tick(now)

    def _speech_ended(self, at: float, now: float) -> tuple[EndpointAction, ...]:
        if self.state != "speech":
            raise ValueError(f"speech_ended in state {self.state}")
        self.state = "silence"
        self.ended_at = at
        return self.tick(now)

    def _note_pause(self, at: float) -> None:
        since = self.ended_at if self.state == "silence" else self._silent_since
        self._silent_since = None
        if since is not None and (self.state == "silence" or at - since <= _CUT_OFF_S):
            self._rhythm.paused((at - since) * 1000)

    def _end_of_turn(self, signal: EndOfTurn) -> tuple[EndpointAction, ...]:
        if self.state == "idle":
            return ()
        if signal.eager or self.settings.detection != "stt":
            self.likelihood = signal.p
            return self.tick(signal.at)
        ended_at = signal.at if signal.speech_ended_at is None else signal.speech_ended_at
        self.flushed = True  # its text came before it
        why = f"the recogniser ended the turn ({signal.p:.2f})"
        return self._decide("end_of_turn", signal.at, self.ended_at if self.state == "silence" else ended_at, why)

    # --- deadlines ------------------------------------------------------------------------------------------------

    @property
    def _forced_at(self) -> float | None:
        return self.started_at + self.settings.max_turn_ms / 1000 if self.state == "speech" else None

    @property
    def _flush_at(self) -> float | None:
        if self.flushed or self.state != "silence":
            return None
        if self.settings.detection == "stt":
            return self._decision_at
        after_ms = self.settings.flush_after_ms
        return self.ended_at + (after_ms if self._delay_ms is None else min(after_ms, self._delay_ms)) / 1000

    @property
    def _decision_at(self) -> float | None:
        delay_ms = self._delay_ms
        return None if delay_ms is None or self.state != "silence" else self.ended_at + delay_ms / 1000

    @property
    def _delay_ms(self) -> float | None:
        settings = self.settings
        if settings.detection == "manual":
            return None
        if settings.detection == "stt":
            return settings.end_silence_ms if self._lost else settings.max_delay_ms
        if self._answer != "open":
            return settings.min_delay_ms if self._answer == "complete" else settings.max_delay_ms
        if self.likelihood is None:
            return self._rhythm.delay_ms if settings.dynamic else settings.end_silence_ms
        return settings.min_delay_ms if self.likelihood >= settings.likely else settings.max_delay_ms

    @property
    def _silence_words(self) -> str:
        settings, delay = self.settings, f"{self._delay_ms or 0:.0f} ms"
        if settings.detection == "stt":
            return f"{delay} of silence, the recogniser {'was lost' if self._lost else 'did not end the turn'}"
        if self._answer != "open" and self._expected is not None:
            return f"{delay} of silence, the answer ({self._expected.kind}) is {self._answer}"
        if self.likelihood is None:
            return f"{delay} of silence" + (" by the caller's rhythm" if settings.dynamic else "")
        likely = "likely" if self.likelihood >= settings.likely else "unlikely"
        return f"{delay} of silence, {likely} to have finished ({self.likelihood:.2f})"

    # --- decisions ------------------------------------------------------------------------------------------------

    def _decide(self, reason: Decided, at: float, ended_at: float, why: str) -> tuple[EndpointAction, ...]:
        flush: tuple[EndpointAction, ...] = () if self.flushed else (FlushSpeech(),)
        self._silent_since = ended_at if reason == "silence" else None
        self.state, self.flushed, self.likelihood, self._answer = "idle", False, None, "open"
        return *flush, TurnDecided(at, self.started_at, ended_at, reason, why)

    def _force(self, now: float) -> tuple[EndpointAction, ...]:
        talk = f"{self.settings.max_turn_ms / 1000:g} s of talk"
        actions = self._decide("forced", now, now, talk) if self.settings.detection != "manual" else (FlushSpeech(),)
        self.state, self.started_at = "speech", now
        return actions
