"""/v1/calls/{id}/recording: the stereo WAV, caller left and everyone else right."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from pathlib import Path

import structlog
from aiohttp import web

from gateway.api.calls import no_such_call
from gateway.api.deps import DEPS
from gateway.api.parameters import NoQuery, call_id_of, query_of
from gateway.api.problems import ProblemError

__all__ = ["confined", "recording"]

log = structlog.get_logger(__name__)


async def recording(request: web.Request) -> web.StreamResponse:
    """The whole file, or the part that a Range header asks for."""
    query_of(request, NoQuery)
    call_id = call_id_of(request)
    deps = request.app[DEPS]
    call = await deps.calls.get_record(call_id)
    if call is None:
        raise no_such_call(call_id)
    if call.outcome is None:
        raise ProblemError(
            HTTPStatus.NOT_FOUND, f"Call {call_id} is in progress; its recording will be available when it has ended."
        )
    if call.recording is None or not call.recording.path:
        why = call.recording.error if call.recording and call.recording.error else "it was not recorded"
        raise ProblemError(HTTPStatus.NOT_FOUND, f"Call {call_id} has no recording: {why}.")
    path = await asyncio.to_thread(confined, deps.recordings, call.recording.path)
    if path is None:
        log.warning("recording_missing", call_id=call_id, file=call.recording.path)
        raise ProblemError(HTTPStatus.NOT_FOUND, f"The recording of call {call_id} no longer exists.")
    headers = {"Content-Type": "audio/wav", "Content-Disposition": f'inline; filename="{call_id}.wav"'}
    return web.FileResponse(path, headers=headers)


def confined(directory: Path, path: str) -> Path | None:
    """`path` (relative to `directory`, or absolute) if it is a WAV file inside it after resolving links; else None."""
    try:
        inside = directory.resolve()
        file = (inside / path).resolve(strict=True)
    except (OSError, ValueError, RuntimeError):  # missing, a null byte, circular links
        return None
    return file if file.is_relative_to(inside) and file.suffix == ".wav" and file.is_file() else None
