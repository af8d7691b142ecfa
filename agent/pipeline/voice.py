"""The agent's voice: creates utterances in the active persona's voice and hands them to the speaker."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable

from agent.history import History
from agent.persona import Agent
from agent.pipeline.activities import Activities
from agent.pipeline.ahead import SpeechAhead
from agent.pipeline.canned import CannedAudio, in_spoken_form, speak, speak_canned, speak_filler
from agent.pipeline.runtime import Runtime
from agent.pipeline.sound_file import as_stream, played
from agent.pipeline.speaker import Speaker
from agent.pipeline.utterance import Kind, Utterance
from agent.providers.base import TTS, ProviderError, SpokenAudio
from agent.speech_handle import SpeechHandle
from agent.turns.limits import FailureCount

__all__ = ["CANNED_KINDS", "Voice"]

_JUST_OVER_S = 1.5  # a function may still have something to write after it has spoken
CANNED_KINDS = frozenset({"canned", "silence_prompt", "farewell"})


class Voice:
    def __init__(
        self,
        runtime: Runtime,
        activities: Activities,
        history: History,
        speaker: Speaker,
        canned: CannedAudio,
        failed_too_often: Callable[[], None],
    ) -> None:
        self._runtime = runtime
        self._activities = activities
        self._history = history
        self.by_code = 0  # how often the persona's own code has spoken, or asked the model to
        self._failures = FailureCount(max_in_a_row=runtime.options.max_failures)
        self._speaker = speaker
        self._canned = canned
        self.ahead = SpeechAhead()
        self._failed_too_often = failed_too_often

    @property
    def closed(self) -> bool:
        """Only a farewell is still spoken."""
        return self._speaker.closed

    @property
    def speaking_or_just_over(self) -> bool:
        """The function's speech was its outcome, not a filler before a wait."""
        return self._speaker.speaking or self._runtime.now() - self._speaker.words_until < _JUST_OVER_S

    def new_utterance(
        self, kind: Kind, handle: SpeechHandle, *, allow_interruptions: bool, audio: bytes | None = None
    ) -> Utterance:
        """`audio`: used instead of synthesising its text."""
        agent, tts = self._activities.agent, self._activities.top.cast.tts  # these, also after a handoff
        voiced = tts is not None or (audio is not None and self._runtime.output is not None)
        utterance = Utterance(
            kind,
            handle,
            allow_interruptions=allow_interruptions,
            voiced=voiced,
            language=agent.language,
            max_characters=self._runtime.options.max_reply_characters,
        )
        if voiced:
            utterance.synthesis = self._runtime.tasks.spawn(
                utterance.synthesize(
                    lambda text: self._speak(agent, tts, kind, text) if audio is None else played(audio)
                ),
                f"speak {kind}",
            )
        return utterance

    def speak(self, utterance: Utterance) -> None:
        """Queue it after the queued speech and add it to the history."""
        self._history.attach(utterance.entry)
        self._speaker.add(utterance)

    def fixed(self, text: str, kind: Kind, handle: SpeechHandle, *, allow_interruptions: bool) -> Utterance:
        """An utterance with all its words; not yet in the history or queued."""
        utterance = self.new_utterance(kind, handle, allow_interruptions=allow_interruptions)
        utterance.set_text(text, whole=kind in CANNED_KINDS)
        return utterance

    def fill(self, key: str) -> None:
        """Bridge a wait with a canned phrase. It is not part of the model's context."""
        runtime, agent, tts = self._runtime, self._activities.agent, self._activities.top.cast.tts
        text = agent.say_canned(key)
        if tts is None or not text:
            return
        utterance = Utterance("canned", SpeechHandle(), allow_interruptions=True, voiced=True, language=agent.language)
        utterance.set_text(text, whole=True)
        utterance.synthesis = runtime.tasks.spawn(
            utterance.synthesize(lambda text: speak_filler(tts, agent, text, runtime.options, self._canned)),
            "speak filler",
        )
        self._speaker.fill(utterance)

    def apologize(self, key: str, handle: SpeechHandle, *, failure: bool) -> Utterance | None:
        """Say canned words within a reply; after too many failures in a row the call ends instead (None)."""
        agent = self._activities.agent
        if self._speaker.closed:
            return None
        if failure and self._failures.failed():
            self._failed_too_often()
            return None
        utterance = self.fixed(agent.say_canned(key), "canned", handle, allow_interruptions=True)
        self.speak(utterance)
        return utterance

    def succeeded(self) -> None:
        """An answer has been spoken: the failure count starts again."""
        self._failures.succeeded()

    def fail(self) -> None:
        """Something failed to be answered or said, outside a reply."""
        self.apologize("unavailable", SpeechHandle(), failure=True)

    def _speak(self, agent: Agent, tts: TTS | None, kind: Kind, text: str) -> AsyncGenerator[SpokenAudio, None]:
        options = self._runtime.options
        if tts is None:
            raise ProviderError("session", "has no TTS")
        if (made := self.ahead.get(agent, text)) is not None:
            return as_stream(made)
        if kind not in CANNED_KINDS:
            return speak(tts, agent, text, options, lambda error, action: self._report(error, action))
        fallback = in_spoken_form(agent, "goodbye_error" if kind == "farewell" else "unavailable")
        return speak_canned(
            tts, agent, text, options, lambda error, action: self._report(error, action), self._canned, fallback
        )

    def _report(self, error: ProviderError, action: str) -> None:
        self._runtime.provider_failed("tts", error, "retry" if action == "retry" else "canned")
