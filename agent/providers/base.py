"""The contracts of speech and language providers. Each vendor has a module in this folder that implements one of them.

Audio is 8 kHz 16-bit mono. A provider that computes uses `Offload`, never the loop; one that talks to a network uses
asyncio. Vendor exceptions become `ProviderError` at the adapter, with `from`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

from agent.turns.signals import Signal
from telephony.media.frames import AudioFrame

__all__ = [
    "LLM",
    "STT",
    "TTS",
    "VAD",
    "ChatMessage",
    "Expectations",
    "InterimsOnDemand",
    "LLMEvent",
    "Offload",
    "ProviderBadRequest",
    "ProviderError",
    "ProviderRejected",
    "ProviderTimeout",
    "ProviderUnavailable",
    "SpeechStream",
    "SpokenAudio",
    "TextDelta",
    "ToolCall",
    "ToolSpec",
    "Transcript",
    "Usage",
    "VADStream",
    "WordMark",
]

T = TypeVar("T")


class ProviderError(Exception):
    """A provider failed. `retryable`: the same request may work if sent again."""

    retryable = False

    def __init__(self, provider: str, message: str) -> None:
        super().__init__(f"{provider}: {message}")
        self.provider = provider


class ProviderTimeout(ProviderError):
    retryable = True


class ProviderUnavailable(ProviderError):
    """Connection refused, dropped, 429, 5xx."""

    retryable = True


class ProviderRejected(ProviderError):
    """Credentials, quota or policy: no retry helps."""


class ProviderBadRequest(ProviderError):
    """The provider rejected our request (a 4xx that is our mistake)."""


class Offload(Protocol):
    """Runs blocking work. In a live call: in a thread. On a virtual clock: at once, with the clock standing still; then
    `modelled_ms` of virtual time pass, so that replays are always the same."""

    async def __call__(self, work: Callable[[], T], *, modelled_ms: float) -> T: ...


# --- voice activity ---------------------------------------------------------------------------------------------


class VADStream(Protocol):
    """Voice activity of one call."""

    window_samples: int

    def push(self, frame: AudioFrame) -> Sequence[tuple[float, float]]:
        """Feed 20 ms; return (probability of speech 0..1, loop-clock time of the window's last sample) for each window
        completed. Called on the loop: well under 1 ms."""

    def close(self) -> None: ...


class VAD(Protocol):
    def stream(self) -> VADStream: ...


# --- speech to text ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Expectations:
    """What the persona expects to hear now: offline recognisers build a grammar from it, others use it as hints.
    `phrases`: sentences or words as callers may say them. `slots`: name -> values as said, used in phrases as `{name}`.
    `digits`: name -> (least, most) digits of a spoken run, used in phrases in the same way.
    """

    phrases: tuple[str, ...] = ()
    slots: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    digits: Mapping[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Transcript:
    """`text` is empty when there was sound but no words (noise, a cough, speech out of grammar)."""

    text: str
    final: bool
    confidence: float = 1.0  # 0..1
    language: str = ""


class SpeechStream(Protocol):
    """One call's recogniser. `push` speech frames (the session sends only speech and 300 ms around it); `flush` at the
    end of an utterance, which results in exactly one final Transcript, even if empty. One that detects turns
    (`STT.turns`) gets all audio if the session leaves turns to it, and also emits signals, with loop-clock times:
    `SpeechStarted` when a turn begins; interim Transcripts with all words of the turn so far; an eager `EndOfTurn`
    after the words that it is based on, if it guesses; `TurnResumed` if that was wrong; at the end a final Transcript
    of the turn, then `EndOfTurn`. After a flush the words so far are final: the following ones are another turn."""

    def push(self, frame: AudioFrame) -> None: ...

    def flush(self) -> None: ...

    def expect(self, expectations: Expectations) -> None:
        """From the next utterance on."""

    def __aiter__(self) -> AsyncIterator[Transcript | Signal]:
        """Its results, as they arrive. Raises ProviderError if the recogniser failed for good."""

    async def aclose(self) -> None: ...


@runtime_checkable
class InterimsOnDemand(SpeechStream, Protocol):
    """A SpeechStream whose interim texts cost extra work. It makes them unless told otherwise."""

    def want_interims(self, wanted: bool) -> None:
        """Whether anybody uses them just now. Idempotent."""


class STT(Protocol):
    """A class attribute `whole_turns = True` (default False) asks for the whole turn again, from its first sound, when
    the caller continues after a flush: for recognisers that need the sentence, such as those with a grammar. The final
    text then replaces the turn's earlier ones; otherwise texts are joined. A class attribute `turns = True` (default
    False) says that its streams detect turns. `final_s` (default 0): seconds that a final text may take, even if the
    settings allow less."""

    name: str

    def stream(self, *, language: str, expectations: Expectations) -> SpeechStream: ...

    async def warm(self) -> None:
        """Load and connect while the phone rings. Idempotent."""


# --- language model ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ToolCall:
    call_id: str
    name: str
    arguments: str  # JSON text, as the model wrote it


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One entry of the model's context. role "tool": the output of `tool_call_id`, `is_error` if it failed. role "user"
    with the name "cue": text that nobody spoke, to make the model speak unprompted."""

    role: Literal["system", "user", "assistant", "tool"]
    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""
    name: str = ""
    is_error: bool = False
    interrupted: bool = False  # assistant: `text` was cut to the heard words


@dataclass(frozen=True, slots=True)
class ToolSpec:
    name: str
    description: str
    parameters: Mapping[str, Any]  # JSON Schema, an object


@dataclass(frozen=True, slots=True)
class TextDelta:
    text: str


@dataclass(frozen=True, slots=True)
class Usage:
    prompt_tokens: int
    completion_tokens: int


LLMEvent = TextDelta | ToolCall | Usage


class LLM(Protocol):
    """A class attribute `whole_context = True` (default False) asks for the whole conversation, however long."""

    name: str

    def chat(self, messages: Sequence[ChatMessage], tools: Sequence[ToolSpec]) -> AsyncIterator[LLMEvent]:
        """Stream one reply. Closing the iterator cancels the request. Raises ProviderError, at any point."""

    async def warm(self) -> None: ...


# --- text to speech ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WordMark:
    """The word at `offset` (characters into the given text) is heard from `at_ms` on (into that text's audio)."""

    offset: int
    at_ms: float


@dataclass(frozen=True, slots=True)
class SpokenAudio:
    """A piece of speech, ideally 20-200 ms. `marks` may be empty: then words are spread evenly over the audio."""

    pcm: bytes
    marks: tuple[WordMark, ...] = ()


class TTS(Protocol):
    name: str

    def synthesize(self, text: str, *, voice: str, language: str) -> AsyncIterator[SpokenAudio]:
        """Speak one sentence or clause, streamed. Closing the iterator cancels. Raises ProviderError."""

    async def warm(self) -> None: ...
