"""The peer: a livekit-agents agent whose STT, LLM and TTS answer instantly. Runs in the environment of peer.py.

    AGENT_NAME=peer LIVEKIT_URL=... LIVEKIT_API_KEY=... LIVEKIT_API_SECRET=... python peer_agent.py start

The rest is the framework's own time. Silero VAD ends turns after 0.55 s of silence, and nothing else is waited for;
everything else has its defaults. The STT streams, and its text arrives before the VAD's end of speech, so that nobody
waits for it; it detects speech by level, which costs nothing (a second VAD would). Nothing here imports Trunkline:
tests use this file as an agent that does not know it.
"""

from __future__ import annotations

import array
import math
import os

from livekit.agents import (
    DEFAULT_API_CONNECT_OPTIONS,
    NOT_GIVEN,
    Agent,
    AgentServer,
    AgentSession,
    JobContext,
    JobProcess,
    cli,
    llm,
    stt,
    tts,
    utils,
)
from livekit.plugins import silero

HEARD = "I would like an appointment"
ANSWER = "Certainly."
TONE_HZ, TONE_S, RATE, AMPLITUDE = 440, 5, 24000, 10000
SPEECH_RMS = 300.0  # of 16-bit samples: -41 dBFS
SILENCE_S = 0.2  # well within the VAD's 0.55 s
TONE = array.array(
    "h", (round(AMPLITUDE * math.sin(2 * math.pi * TONE_HZ * n / RATE)) for n in range(TONE_S * RATE))
).tobytes()


class InstantSTT(stt.STT):
    """A fixed sentence for any speech."""

    def __init__(self) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=True, interim_results=False))

    async def _recognize_impl(self, buffer, *, language=NOT_GIVEN, conn_options=DEFAULT_API_CONNECT_OPTIONS):
        raise NotImplementedError("it streams")

    def stream(self, *, language=NOT_GIVEN, conn_options=DEFAULT_API_CONNECT_OPTIONS):
        return _Hearing(stt=self, conn_options=conn_options)


class _Hearing(stt.RecognizeStream):
    async def _run(self) -> None:
        silent_s, speaking = 0.0, False
        async for frame in self._input_ch:
            if isinstance(frame, self._FlushSentinel):
                continue
            samples = frame.data[::8]  # every eighth sample is enough for a level
            rms = math.sqrt(sum(sample * sample for sample in samples) / max(1, len(samples)))
            if rms > SPEECH_RMS:
                silent_s, speaking = 0.0, True
                continue
            silent_s += frame.duration
            if speaking and silent_s >= SILENCE_S:
                speaking = False
                self._event_ch.send_nowait(
                    stt.SpeechEvent(
                        type=stt.SpeechEventType.FINAL_TRANSCRIPT,
                        alternatives=[stt.SpeechData(language="en", text=HEARD, confidence=1.0)],
                    )
                )


class InstantLLM(llm.LLM):
    """A fixed answer."""

    def chat(self, *, chat_ctx, tools=None, conn_options=DEFAULT_API_CONNECT_OPTIONS, **_):
        return _Thinking(self, chat_ctx=chat_ctx, tools=tools or [], conn_options=conn_options)


class _Thinking(llm.LLMStream):
    async def _run(self) -> None:
        delta = llm.ChoiceDelta(role="assistant", content=ANSWER)
        self._event_ch.send_nowait(llm.ChatChunk(id=utils.shortuuid(), delta=delta))


class ToneTTS(tts.TTS):
    """A 440 Hz tone of 5 s."""

    def __init__(self) -> None:
        super().__init__(capabilities=tts.TTSCapabilities(streaming=False), sample_rate=RATE, num_channels=1)

    def synthesize(self, text, *, conn_options=DEFAULT_API_CONNECT_OPTIONS):
        return _Speaking(tts=self, input_text=text, conn_options=conn_options)


class _Speaking(tts.ChunkedStream):
    async def _run(self, output_emitter) -> None:
        output_emitter.initialize(
            request_id=utils.shortuuid(), sample_rate=RATE, num_channels=1, mime_type="audio/pcm", frame_size_ms=20
        )
        output_emitter.push(TONE)
        output_emitter.flush()


# It takes every call: whether a machine is full is not what is measured. LiveKit server sends no job to a worker that
# tells of a load of 1, whatever the worker's own threshold, and starting up alone is that much.
server = AgentServer(load_fnc=lambda: 0.0, port=0, host="127.0.0.1")


def prewarm(process: JobProcess) -> None:
    process.userdata["vad"] = silero.VAD.load(min_silence_duration=0.55)


server.setup_fnc = prewarm


@server.rtc_session(agent_name=os.environ.get("AGENT_NAME", ""))
async def entrypoint(ctx: JobContext) -> None:
    session = AgentSession(
        vad=ctx.proc.userdata["vad"],
        stt=InstantSTT(),
        llm=InstantLLM(),
        tts=ToneTTS(),
        turn_handling={
            "turn_detection": "vad",
            "endpointing": {"mode": "fixed", "min_delay": 0.0, "max_delay": 0.0},
            "interruption": {"mode": "vad"},
        },
        user_away_timeout=None,
        aec_warmup_duration=None,  # telephones have no echo to wait out
    )
    await session.start(agent=Agent(instructions="You answer the phone."), room=ctx.room)


if __name__ == "__main__":
    cli.run_app(server)
