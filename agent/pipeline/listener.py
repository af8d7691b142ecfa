"""Turns signals into user turns: when a turn is over, and its joined text."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

from agent.options import SessionOptions
from agent.persona import Agent
from agent.pipeline.alarm import Alarm
from agent.pipeline.ears import (
    Ears,
    EarsEvent,
    FailureTold,
    HearingLost,
    Overhears,
    RecogniserLost,
    RecogniserWell,
    TextCame,
)
from agent.pipeline.recognizer import RecognizerLimits
from agent.pipeline.spoken_turn import SpokenTurn, SpokenTurns
from agent.pipeline.tasks import SessionTasks
from agent.providers.base import STT, VAD
from agent.turns.endpointing import EndpointAction, Endpointing, EndpointingSettings, FlushSpeech
from agent.turns.expected import Expected
from agent.turns.signals import (
    EndOfTurn,
    Final,
    Interim,
    Signal,
    SpeechEnded,
    SpeechStarted,
    TurnDetection,
    TurnResumed,
)
from telephony.media.frames import AudioFrame

__all__ = ["Heard", "HearingLost", "Listener", "TurnDecided", "TurnLikely", "TurnReady"]

_LEAST_LOUD_MS = 100.0  # how much sound a commit counts as speech if there are no speech signals


@dataclass(frozen=True, slots=True)
class TurnLikely:
    """All words so far have arrived and the caller is silent, but the turn is not decided."""

    turn: SpokenTurn


@dataclass(frozen=True, slots=True)
class TurnDecided:
    """Its text may not have arrived yet."""

    turn: SpokenTurn


@dataclass(frozen=True, slots=True)
class TurnReady:
    """Decided, and its text has arrived (or it `failed`)."""

    turn: SpokenTurn


Heard = Signal | TurnLikely | TurnDecided | TurnReady | HearingLost


class Listener:
    def __init__(
        self,
        agent: Agent,
        options: SessionOptions,
        tasks: SessionTasks,
        *,
        detection: TurnDetection,
        vad: VAD | None,
        stt: STT | None,
        heard: Callable[[Heard], None],
        failed: FailureTold,
    ) -> None:
        """`agent`: its language is recognised. `heard` gets the events, `failed` the providers' failures."""
        self._loop = asyncio.get_running_loop()
        self._heard = heard
        final_ms = max(options.stt_final_ms, 1000 * getattr(stt, "final_s", 0.0))
        limits = RecognizerLimits(final_ms, options.retries, options.retry_backoff_ms)
        self._ears = Ears(agent, limits, tasks, detection=detection, vad=vad, stt=stt, heard=self._take, failed=failed)
        self._endpointing = Endpointing(_settings(options, detection))
        self._alarm = Alarm(self._loop, self._endpointing, self._perform)
        self._turns = SpokenTurns()
        self._speech_started_at = 0.0
        self._max_piece_ms = options.max_turn_ms
        self._stopped = self._held = self._muted = False
        self.since = float("-inf")  # loop time; earlier audio is not the caller's

    @property
    def turn(self) -> SpokenTurn | None:
        """The caller's current turn, until it is decided."""
        return self._turns.current

    @property
    def busy(self) -> bool:
        """The caller is speaking, or the turn is not decided yet."""
        undecided = self._turns.current is not None and (self.speaking or self.detection != "manual")
        return undecided or self._turns.unready

    @property
    def speaking(self) -> bool:
        """The caller is speaking now."""
        return self._ears.speaking

    @property
    def detection(self) -> TurnDetection:
        return self._endpointing.settings.detection

    # --- verbs ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Open the recogniser's stream ahead of the first speech."""
        self._ears.start()

    def agent_changed(self, agent: Agent, detection: TurnDetection) -> None:
        """Another persona expects other words, and may use another source for the ends of turns."""
        self._ears.agent_changed(agent)
        if detection != self.detection:
            self.clear()
            self._endpointing.settings = replace(self._endpointing.settings, detection=detection)
            self._ears.detect(detection, self._turns.current)
            self._alarm.set()

    def expect(self, expected: Expected | None, language: str) -> None:
        """The caller begins to speak and has been asked for this."""
        self._endpointing.expect(expected, language)

    def overheard_by(self, overhears: Overhears | None) -> None:
        """It gets each frame and the VAD's probabilities from now on."""
        self._ears.overheard_by(overhears)

    def answer_kept(self) -> bool:
        """Answer the turns that were only to be kept. Returns whether there are any whose words are still to come."""
        return self._turns.answer()

    def want_interims(self, wanted: bool) -> None:
        """Whether words are useful before the caller has fallen silent."""
        self._ears.want_interims(wanted)

    def drop(self) -> None:
        """Discard the pending user turn."""
        if not self._turns.drop():
            return
        self._endpointing.discard()
        self._alarm.set()
        if self._endpointing.state == "speech":
            # The caller is speaking again, which continues as a separate turn.
            self._ears.hand_over(self._turns.begin(self._loop.time()))
        elif not self._ears.endless:
            self._ears.flush(None)

    def clear(self) -> None:
        """Discard the pending user turn, including words that have not arrived yet."""
        self._turns.drop()
        self._endpointing.discard()
        self._ears.flush(None)
        if self._endpointing.state == "speech":
            self._begin_piece(self._loop.time())
        self._alarm.set()

    def commit(self) -> SpokenTurn | None:
        """The application says that the caller is done. None: nothing has been said."""
        if self._stopped:
            return None
        now = self._loop.time()
        turn = self._heard_by_hand()
        if self._endpointing.state == "idle" and turn is not None:
            self._endpointing.heard(SpeechStarted(turn.started_at, now))
            self._endpointing.heard(SpeechEnded(now, now))
        committed = self._turns.current
        self._perform(self._endpointing.commit(now))
        self._alarm.set()
        return committed if committed is not None and committed.decided_at is not None else None

    def _heard_by_hand(self) -> SpokenTurn | None:
        """The speech since the last turn, if there are no signals for its start and end."""
        if not (self._ears.endless and self.detection == "manual"):
            return self._turns.current
        loud_ms = self._ears.loud_ms
        if self._turns.current is None and loud_ms < _LEAST_LOUD_MS:
            return None
        turn = self._turns.begin(self._loop.time() - loud_ms / 1000)
        turn.voiced_ms += loud_ms
        return turn

    def enable(self, enabled: bool, at: float) -> None:
        """Turn listening on or off. Earlier speech is still decided."""
        if not self._stopped and enabled is self._muted:
            self._muted = not enabled
            if self._muted:
                self._ears.cut(at)

    def hold(self, at: float) -> None:
        """Stop listening until `resume` (hold music, for example). Ongoing speech ends here and waits."""
        if self._stopped or self._held:
            return
        self._ears.cut(at)
        self._held = True
        self._ears.deafen(True)
        self._perform(self._endpointing.hold())
        self._alarm.set()

    def resume(self, at: float) -> None:
        """Decide speech from before the hold."""
        if self._stopped or not self._held:
            return
        self._held = False
        self._ears.deafen(False)
        self._perform(self._endpointing.resume(at))
        self._alarm.set()

    def stop(self) -> None:
        """Hear nothing more."""
        if self._stopped:
            return
        self._stopped = True
        self._alarm.cancel()
        self._turns.drop()
        self._ears.close()

    def frame(self, frame: AudioFrame) -> None:
        """One 20 ms frame was heard."""
        if self._stopped or self._held or self._muted or frame.at < self.since:
            return
        self._ears.frame(frame, self._turns.current)
        if self.detection == "manual" and self._ears.endless and self._ears.fed_ms >= self._max_piece_ms:
            self._ears.flush(self._heard_by_hand())  # a commit may never come

    # --- signals --------------------------------------------------------------------------------------------------

    def _take(self, event: EarsEvent) -> None:
        match event:
            case SpeechStarted():
                self._speech_started(event)
            case SpeechEnded():
                self._speech_ended(event)
            case EndOfTurn():
                self._end_of_turn(event)
            case TextCame():
                self._text_came(event)
            case RecogniserLost():
                self._perform(self._endpointing.lost(self._loop.time()))
            case RecogniserWell():
                self._endpointing.recovered()
            case HearingLost():
                self._heard(event)
            case _:
                self._words(event)
        if not self._stopped:
            self._alarm.set()

    def _speech_started(self, event: SpeechStarted) -> None:
        self._speech_started_at = event.at
        self._turns.begin(event.at)
        self._heard(event)
        if self._stopped:
            return
        self._begin_piece(event.at)
        self._perform(self._endpointing.heard(event))

    def _speech_ended(self, event: SpeechEnded) -> None:
        turn = self._turns.begin(self._speech_started_at)
        turn.voiced_ms += (event.at - self._speech_started_at) * 1000
        turn.ended_at = event.at
        if not self._ears.detect_turns:
            self._endpointing.lost(event.noticed_at)
        actions = self._endpointing.heard(event)
        self._heard(event)
        self._perform(actions)

    def _words(self, signal: Signal) -> None:
        if self._ears.endless:
            self._note_words(signal)
        self._perform(self._endpointing.heard(signal))
        if self._ears.endless or not isinstance(signal, TurnResumed):
            self._heard(signal)

    def _note_words(self, signal: Signal) -> None:
        by_hand = self.detection == "manual"
        if isinstance(signal, Interim):
            turn = self._turns.begin(signal.at) if by_hand and signal.text else self._turns.current
            if turn is not None:
                turn.interim = signal.text
        elif isinstance(signal, Final):
            turn = self._turns.begin(signal.at) if by_hand and signal.text else self._turns.current
            if turn is not None:
                turn.heard(signal.text, signal.confidence, signal.at, whole=not by_hand)

    def _end_of_turn(self, signal: EndOfTurn) -> None:
        turn = self._turns.current
        self._perform(self._endpointing.heard(signal))
        if self.detection != "stt":
            return
        if not signal.eager:
            self._ears.next_turn(self._turns.current)
        elif turn is not None and turn is self._turns.current and turn.text:
            self._heard(TurnLikely(turn))

    # --- turns ----------------------------------------------------------------------------------------------------

    def _perform(self, actions: tuple[EndpointAction, ...]) -> None:
        for action in actions:
            if self._stopped:
                return
            if isinstance(action, FlushSpeech):
                self._ears.flush(self._turns.current)
                continue
            goes_on = self._endpointing.state == "speech"  # speech that was cut in two
            if goes_on and self._turns.current is not None:
                self._turns.current.voiced_ms += (action.at - self._speech_started_at) * 1000
                self._speech_started_at = action.at
            turn = self._turns.decide(action)
            if goes_on:
                self._begin_piece(action.at)
            if turn is not None:
                self._heard(TurnDecided(turn))
                self._settle()
        if actions and self._endpointing.state == "speech" and not self._stopped:
            self._begin_piece(self._loop.time())

    def _begin_piece(self, at: float) -> None:
        self._ears.begin(self._turns.begin(at), at)

    def _text_came(self, event: TextCame) -> None:
        turn, transcript, now = event.turn, event.transcript, self._loop.time()
        final: Final | None = None
        if self._stopped or turn.dropped:
            return
        if transcript is None:
            turn.failed = True
            turn.transcript_at = now
        else:
            turn.heard(transcript.text, transcript.confidence, now, whole=event.whole)
            final = Final(turn.text, now, turn.confidence)
            self._heard(final)
        if turn.dropped or self._is_stopped():
            return
        if turn is self._turns.current and not turn.awaited and self._endpointing.state == "silence":
            self._heard(TurnLikely(turn))
            if final is not None:
                self._perform(self._endpointing.heard(final))
        self._settle()

    def _is_stopped(self) -> bool:
        """Checked again after each event, since that may have ended everything."""
        return self._stopped

    def _settle(self) -> None:
        """Hand over the turns whose text is complete, in order."""
        while (turn := self._turns.ready()) is not None:
            self._heard(TurnReady(turn))


def _settings(options: SessionOptions, detection: TurnDetection) -> EndpointingSettings:
    return EndpointingSettings(
        detection=detection,
        end_silence_ms=options.end_silence_ms,
        flush_after_ms=options.flush_after_ms,
        max_turn_ms=options.max_turn_ms,
        min_delay_ms=options.min_delay_ms,
        max_delay_ms=options.max_delay_ms,
        likely=options.likely_finished,
        dynamic=options.endpointing == "dynamic",
    )
