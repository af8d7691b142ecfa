"""/v1/calls/{id}/transcript: who said what when, on the recording's time axis."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web
from pydantic import TypeAdapter

from gateway.api.calls import json_response, no_such_call
from gateway.api.deps import DEPS
from gateway.api.parameters import TranscriptQuery, call_id_of, query_of
from gateway.record import Turn
from gateway.transcript import transcript_text

__all__ = ["Transcript", "transcript"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """Entries by their position in the recording. `live`: the call is in progress, more will follow."""

    call_id: str
    live: bool
    turns: tuple[Turn, ...]


_transcript = TypeAdapter(Transcript)


async def transcript(request: web.Request) -> web.Response:
    asked = query_of(request, TranscriptQuery)
    call_id = call_id_of(request)
    call = await request.app[DEPS].calls.get_call(call_id)
    if call is None:
        raise no_such_call(call_id)
    if asked.format == "text":
        return web.Response(text=transcript_text(call.turns), content_type="text/plain", charset="utf-8")
    return await json_response(_transcript, Transcript(call_id=call_id, live=call.outcome is None, turns=call.turns))
