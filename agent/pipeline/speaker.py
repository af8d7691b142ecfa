"""Plays utterances one after another into the output: start, pause, cut, end, and how much of each was heard."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from agent.events import AgentMessage, AgentPaused, AgentResumed, AgentStartedSpeaking, AgentStoppedSpeaking
from agent.pipeline.runtime import Runtime
from agent.pipeline.utterance import Utterance
from agent.speech_handle import SpeechHandle
from telephony.media.frames import FRAME_MS, duration_ms
from telephony.rooms.protocol import AudioOutput

__all__ = ["Speaker"]


class Speaker:
    def __init__(self, runtime: Runtime, changed: Callable[[], None], failed: Callable[[Utterance], None]) -> None:
        """`changed` is called whenever an utterance begins or all are over, `failed` if one could not be completed,
        after everything available has been played."""
        self._runtime = runtime
        self._output = runtime.output
        self._changed = changed
        self._failed = failed
        self._waiting: deque[Utterance] = deque()
        self._playing: asyncio.Task[None] | None = None
        self.current: Utterance | None = None
        self.filler: Utterance | None = None  # said while waiting for `current` or the next utterance
        self._filling: asyncio.Task[None] | None = None
        self.asked = False  # a question has been heard, and no message from the caller since
        self.bridged = False  # a filler has been heard, and nothing else since
        self._refuses = False  # nothing is accepted after the farewell
        self.silenced = False  # as if closed, for now: it is not known yet who has answered
        self.silent_since = runtime.now()  # the end of our last sound
        self.words_until = float("-inf")  # loop time; fillers do not count
        self.paused = False
        self.held = False  # the caller hears nothing: everything waits
        self._paused_at = 0.0
        self._pause_reported = False

    @property
    def busy(self) -> bool:
        return self.current is not None or self.filler is not None or bool(self._waiting)

    @property
    def speaking(self) -> bool:
        """Busy with more than a filler."""
        return self.current is not None or bool(self._waiting)

    @property
    def closed(self) -> bool:
        """Nothing is accepted, except from the session itself."""
        return self._refuses or self.silenced

    @property
    def unheard(self) -> bool:
        """Whether the next utterance has not been heard at all yet."""
        return self.current is None or self.current.began_at is None

    @property
    def interruptible(self) -> bool:
        """Whether the current speech (if any) may be interrupted."""
        return self.current is None or self.current.allow_interruptions

    @property
    def answer_expected(self) -> bool:
        """Whether a mere "yes" would mean something: a question is being asked, or nothing has been heard yet."""
        utterance, output = self.current, self._output
        if utterance is None or output is None or not utterance.pushed or utterance.began_at is None:
            return self.asked or not self.bridged
        return utterance.script.asks(output.played_ms - utterance.base_ms)

    def add(self, utterance: Utterance) -> None:
        if utterance.over.is_set():
            return
        self._waiting.append(utterance)
        if self.current is None and not self.held:
            self._begin_next()

    def hold(self) -> None:
        """Be silent until `release`. The current speech is cut where it was heard, to be repeated from the
        beginning of that sentence, except prompts of the silence ladder."""
        if self._output is None or self.held:
            return
        self.held = True
        silent_at = self._paused_at if self.paused else self._runtime.now()
        self._cut_filler()
        for prompt in [one for one in self._waiting if one.kind == "silence_prompt"]:
            self._waiting.remove(prompt)
            self._over(prompt, heard="", interrupted=True)
        current, self.current = self.current, None
        if current is None:
            return
        if self._playing is not None:
            self._playing.cancel()
            self._playing = None
        if current.kind == "silence_prompt":
            self._cut(current)
            self._changed()
            return
        played_ms = self._output.clear()
        self.paused = self._pause_reported = False
        self._suspend(current, played_ms, silent_at)
        self._waiting.appendleft(current)
        self._changed()

    def release(self, first: Utterance | None = None) -> None:
        """The caller hears us again: say `first`, then what has been waiting."""
        self.held = False
        if first is not None:
            self._waiting.appendleft(first)
        if self.current is None:
            self._begin_next()

    def pause(self) -> None:
        if self._output is None or self.paused:
            return
        self.paused = True
        self._paused_at = self._runtime.now()
        self._output.pause()
        if any(one is not None and one.began_at is not None for one in (self.current, self.filler)):
            self._pause_reported = True
            self._runtime.emit(AgentPaused(self._runtime.now()))

    def resume(self) -> None:
        if self._output is None or not self.paused:
            return
        self.paused = False
        self._output.resume()
        if self._pause_reported:
            self._pause_reported = False
            self._runtime.emit(AgentResumed(self._runtime.now()))

    def interrupt(self, *, force: bool = False) -> bool:
        """Stop and drop everything that may be interrupted (`force`: everything); whether anything was."""
        kept = deque(one for one in self._waiting if not (force or one.allow_interruptions))
        dropped = [one for one in self._waiting if force or one.allow_interruptions]
        self._waiting = kept
        for utterance in dropped:
            self._over(utterance, heard="", interrupted=True)
        current = self.current
        if current is None or not (force or current.allow_interruptions):
            return self._cut_filler() or bool(dropped)
        if self._playing is not None:
            self._playing.cancel()
        self._cut(current)
        self._begin_next()
        return True

    def drop_handle(self, handle: SpeechHandle) -> None:
        """End what belongs to this handle."""
        for utterance in [one for one in self._waiting if one.handle is handle]:
            self._waiting.remove(utterance)
            self._over(utterance, heard="", interrupted=True)
        if self.current is not None and self.current.handle is handle:
            if self._playing is not None:
                self._playing.cancel()
            self._cut(self.current)
            self._begin_next()

    async def idle(self) -> None:
        """Wait until nothing is left to say."""
        while self.busy:
            await (self.current or self.filler or self._waiting[0]).over.wait()
            await asyncio.sleep(0)

    def refuse(self) -> None:
        """From now on only a farewell is accepted."""
        self._refuses = True

    def keep_all(self) -> None:
        """The same, and queued speech may not be interrupted."""
        self.refuse()
        for utterance in (self.current, *self._waiting):
            if utterance is not None:
                utterance.allow_interruptions = False
        self.resume()

    async def finish_sentence(self) -> None:
        """Let the current sentence end, then drop the rest. Waits at most 10 s."""
        self.resume()
        await self._after_filler(limit_s=10)
        current, output = self.current, self._output
        if current is None or output is None:
            return
        end_ms = current.script.sentence_end_ms(output.played_ms - current.base_ms)
        if end_ms is not None:
            try:
                async with asyncio.timeout(10):
                    await output.wait_played(current.base_ms + end_ms)
            except TimeoutError:
                pass
        if self.current is current:
            self.interrupt(force=True)

    def close(self) -> None:
        """Cut off the current speech; nothing more is said."""
        self.interrupt(force=True)

    def _cut(self, utterance: Utterance) -> None:
        heard = ""
        silent_at = None
        if self._output is not None:
            # Speech cut by a barge-in has been silent since the barge-in's first sign.
            silent_at = self._paused_at if self.paused else None
            self._cut_filler()
            played_ms = self._output.clear()
            self.paused = self._pause_reported = False
            if utterance.pushed and played_ms > utterance.base_ms + utterance.begins_ms:
                if utterance.began_at is None:
                    self._started(utterance, self._runtime.now())
                heard = utterance.script.heard(played_ms - utterance.base_ms)
        self._over(utterance, heard=heard, interrupted=True, at=silent_at)

    def _suspend(self, utterance: Utterance, played_ms: float, at: float) -> None:
        """Report what was heard of it, and prepare to repeat it from the interrupted sentence."""
        place_ms = played_ms - utterance.base_ms if utterance.pushed else utterance.begins_ms
        if place_ms > utterance.begins_ms:
            if utterance.began_at is None:
                self._started(utterance, at)
            utterance.heard = utterance.script.heard(place_ms)
            whole = utterance.written.is_set() and utterance.heard == utterance.full_text
            self._tell(utterance, utterance.heard, interrupted=not whole, at=at)
        utterance.rewind(place_ms)

    def _begin_next(self) -> None:
        self.current = self._waiting.popleft() if self._waiting and not self.held else None
        self._playing = None
        if self.current is not None:
            self._playing = self._runtime.tasks.spawn(self._play(self.current), "speaker")
        self._changed()

    async def _play(self, utterance: Utterance) -> None:
        ended_at = None
        if utterance.voiced and self._output is not None:
            ended_at = await self._play_audio(utterance)
            heard = "" if utterance.began_at is None else utterance.full_text
            if utterance.error is not None or utterance.cut_short:
                heard = utterance.script.heard(utterance.script.end_ms)
        else:
            await utterance.written.wait()
            heard = utterance.full_text
        self._over(utterance, heard=heard, interrupted=utterance.cut_short, at=ended_at)
        if utterance.error is not None:
            self._failed(utterance)
        if self.current is utterance:  # a watcher of events may have interrupted it just now
            self._begin_next()

    async def _play_audio(self, utterance: Utterance) -> float | None:
        """Push all of its audio and wait until it has been played; returns when the last frame was taken."""
        output = self._output
        if output is None:
            return None
        ahead_ms = self._runtime.options.queue_ahead_ms
        watch: asyncio.Task[None] | None = None
        try:
            async for chunk in utterance.chunks():
                if chunk.last:
                    utterance.script.complete(chunk.piece)
                    utterance.forget(output.played_ms - utterance.base_ms)
                if not chunk.audio.pcm:
                    continue
                await self._after_filler()
                if not utterance.pushed:
                    utterance.base_ms = output.queued_ms - utterance.begins_ms
                if output.queued_ms - output.played_ms > ahead_ms:
                    await output.wait_played(output.queued_ms - ahead_ms)
                utterance.pushed = True
                utterance.script.add(chunk.piece, duration_ms(chunk.audio.pcm), chunk.audio.marks)
                output.push(chunk.audio.pcm)
                if watch is None:
                    watch = self._runtime.tasks.spawn(self._watch_start(utterance), "first packet")
            output.flush()
            ended_at = await output.wait_played(output.queued_ms) if utterance.pushed else None
            if watch is not None:
                await watch
            return ended_at
        finally:
            if watch is not None:
                watch.cancel()

    # --- fillers --------------------------------------------------------------------------------------------------

    def fill(self, filler: Utterance) -> None:
        """Say this while waiting for the next speech. It goes first; if it is not ready in time, it is dropped."""
        if self.filler is None and self._output is not None:
            self.filler = filler
            self._filling = self._runtime.tasks.spawn(self._fill(filler, self._output), "filler")

    async def _fill(self, filler: Utterance, output: AudioOutput) -> None:
        async for chunk in filler.chunks():
            if chunk.last:
                filler.script.complete(chunk.piece)
            if not chunk.audio.pcm:
                continue
            if not filler.pushed:
                filler.pushed = True
                filler.base_ms = output.queued_ms
            filler.script.add(chunk.piece, duration_ms(chunk.audio.pcm), chunk.audio.marks)
            output.push(chunk.audio.pcm)
            if filler.began_at is None:
                at = await output.wait_played(filler.base_ms + 1)
                if at is not None:
                    self._started(filler, at)
        output.flush()
        ended_at = await output.wait_played(output.queued_ms) if filler.pushed else None
        current = self.current
        if current is not None and current.pushed and filler.pushed:
            current.base_ms += output.queued_ms - filler.base_ms  # it continues after the filler
        self._filler_over(filler, heard=filler.full_text, interrupted=False, at=ended_at)
        self._changed()

    def _filler_over(self, filler: Utterance, *, heard: str, interrupted: bool, at: float | None = None) -> None:
        self.bridged = self.bridged or filler.began_at is not None
        self._over(filler, heard=heard, interrupted=interrupted, at=at)
        self.filler = self._filling = None

    def _cut_filler(self) -> bool:
        """Whether there was one."""
        filler, output = self.filler, self._output
        if filler is None or output is None:
            return False
        if self._filling is not None:
            self._filling.cancel()
        heard = ""
        if filler.pushed:
            played_ms = output.clear()
            self.paused = self._pause_reported = False
            if self.current is not None and self.current.pushed:
                self.current.base_ms += output.queued_ms - filler.base_ms
            if played_ms > filler.base_ms:
                heard = filler.script.heard(played_ms - filler.base_ms)
        self._filler_over(filler, heard=heard, interrupted=True)
        return True

    async def _after_filler(self, limit_s: float | None = None) -> None:
        """Let a playing filler finish; drop one that is still being synthesised."""
        filler = self.filler
        if filler is None:
            return
        if not filler.pushed:
            self._cut_filler()
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await filler.over.wait()

    async def _watch_start(self, utterance: Utterance) -> None:
        if self._output is None:
            return
        at = await self._output.wait_played(utterance.base_ms + utterance.begins_ms + 1)
        if at is not None and utterance.began_at is None and not utterance.over.is_set():
            self._started(utterance, at)

    def _started(self, utterance: Utterance, at: float) -> None:
        utterance.began_at = at
        self._runtime.emit(AgentStartedSpeaking(at))
        utterance.on_started(at)

    def _over(self, utterance: Utterance, *, heard: str, interrupted: bool, at: float | None = None) -> None:
        if utterance.over.is_set():
            return
        utterance.finish(heard=heard, interrupted=interrupted)
        self._tell(utterance, heard, interrupted=interrupted, at=self._runtime.now() if at is None else at)

    def _tell(self, utterance: Utterance, heard: str, *, interrupted: bool, at: float) -> None:
        now, began_at = at, utterance.began_at
        if began_at is not None:
            self.silent_since = max(self.silent_since, now)
            # The last frame is taken when it begins to be heard.
            now = max(now, began_at) if interrupted else max(now, began_at) + FRAME_MS / 1000
            self._runtime.emit(AgentStoppedSpeaking(now, interrupted))
        if began_at is None and utterance.voiced:
            return  # nothing of it was heard
        if utterance is not self.filler:
            self.bridged = False
            self.words_until = now
            self.asked = heard.rstrip("\"')” ").endswith(("?", "？", "؟"))
        if utterance.full_text:
            full = _behind(utterance.before, utterance.full_text.strip())
            heard = _behind(utterance.before, heard)
            started_at = now if began_at is None else began_at
            self._runtime.emit(AgentMessage(now, heard, full, interrupted, started_at, utterance.kind))


def _behind(before: str, text: str) -> str:
    """The rest, without the words heard before a hold."""
    return text.removeprefix(before).strip() if before else text
