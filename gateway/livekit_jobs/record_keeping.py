"""Keeps record and recording of one call that no gateway bridges, in the job."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from agent.events import SessionEvent
from agent.worker.job import JobContext
from gateway.calls.journal import Journal, LegJournal
from gateway.config import Settings
from gateway.livekit_jobs.recording import ContinuedRecordingFile, LateRecorder
from gateway.livekit_jobs.routing import JobPlan
from gateway.record import LIVEKIT_WORKER, CallOpened, Outcome, Recording
from telephony.call import EndedBy
from telephony.media.recording import WavRecorder

__all__ = ["RecordKeeping"]

RECORDING_LIMIT_S = 5.0
log = structlog.get_logger(__name__)


class RecordKeeping:
    def __init__(
        self,
        ctx: JobContext,
        settings: Settings,
        plan: JobPlan,
        late: LateRecorder,
        stored: Mapping[str, Any] | None,
    ) -> None:
        """The call is answered now; or it was, by the process that `stored` comes from."""
        loop = asyncio.get_running_loop()
        self._journal = Journal(plan.info.call_id, ctx.send, loop.time)
        self._settings = settings
        self._plan = plan
        self._recorder: WavRecorder | None = None
        before: Mapping[str, Any] = (stored or {}).get("record") or {}
        self._answered_at = float(before.get("answered_at", loop.time()))
        self._path = str(before.get("recording", ""))
        tokens = before.get("tokens", (0, 0))
        self._tokens_before = (int(tokens[0]), int(tokens[1]))
        if not before:
            ctx.send(self._opened().to_dict())
            wanted = plan.recording if plan.recording is not None else settings.record_calls
            self._path = f"{datetime.now(UTC):%Y-%m-%d}/{plan.info.call_id}.wav" if wanted else ""
        self._before_ms = 0
        if self._path:
            self._recorder = self._begin_recording(gone_on=bool(before), now=loop.time())
        self._journal.recorded_by(self._recorder)
        self._journal.answered(self._answered_at)
        late.recorder = self._recorder

    def event(self, event: SessionEvent) -> None:
        self._journal.event(event)

    def to_dict(self, tokens: tuple[int, int]) -> dict[str, Any]:
        """For the process that may have to go on."""
        return {"answered_at": self._answered_at, "recording": self._path, "tokens": self._sum(tokens)}

    async def close(self, cause: tuple[EndedBy, str] | None, tokens: tuple[int, int]) -> None:
        """Close recording and record. Never raises."""
        trouble = ""
        if self._recorder is not None:
            try:
                async with asyncio.timeout(RECORDING_LIMIT_S):
                    await self._recorder.close()
            except TimeoutError:
                trouble = "the recording was not complete when the call was over"
        by, reason = cause or (EndedBy.SYSTEM, "the job was ended")
        self._journal.close(
            outcome=Outcome.ANSWERED,
            customer=LegJournal(f"{self._plan.info.call_id}-1", asyncio.get_running_loop().time),
            ended=None,
            by=by,
            reason=reason,
            tokens=self._sum(tokens),
            recording=self._recording(trouble),
        )

    def _opened(self) -> CallOpened:
        plan = self._plan
        return CallOpened.of(
            plan.info, started_at=datetime.now(UTC), persona=str(plan.persona), rule=plan.rule, worker=LIVEKIT_WORKER
        )

    def _begin_recording(self, *, gone_on: bool, now: float) -> WavRecorder:
        path = (self._settings.recordings / self._path).resolve()
        if not gone_on:
            return WavRecorder(path)
        try:
            file = ContinuedRecordingFile(path, (now - self._answered_at) * 1000)
        except OSError as error:
            log.warning("recording_not_gone_on_with", error=str(error))
            self._path = str(Path(self._path).with_stem(f"{Path(self._path).stem}-2"))
            return WavRecorder(self._settings.recordings / self._path)
        self._before_ms = file.before_ms
        return WavRecorder(path, open_file=partial(_as_opened, file))

    def _recording(self, trouble: str) -> Recording | None:
        recorder = self._recorder
        if recorder is None:
            return None
        duration_ms = round(recorder.duration_ms) + self._before_ms
        path = "" if recorder.error and not duration_ms else self._path
        return Recording(path=path, duration_ms=duration_ms, error=recorder.error or trouble)

    def _sum(self, tokens: tuple[int, int]) -> tuple[int, int]:
        return self._tokens_before[0] + tokens[0], self._tokens_before[1] + tokens[1]


def _as_opened(file: ContinuedRecordingFile, _: Path) -> ContinuedRecordingFile:
    return file
