"""Every path of the API: the application serves this table and OpenAPI describes it."""

from __future__ import annotations

from gateway.api import (
    calls,
    collecting,
    events,
    health,
    page,
    phones,
    placing,
    queues,
    recordings,
    steering,
    tokens,
    transcripts,
    transferring,
    trunks,
)
from gateway.api.campaign_routes import CAMPAIGN_ROUTES
from gateway.api.deps import HealthReport
from gateway.api.idempotency import KEY
from gateway.api.parameters import EventsQuery, HangUpQuery, ListQuery, PageQuery, TranscriptQuery
from gateway.api.room_tokens import RoomToken, TokenRequest
from gateway.api.route import Header, Route
from gateway.outbound.order import CallOrder
from gateway.record import CallDetail, CallRecord, TransferRecord

__all__ = ["ROUTES", "Route"]


_NO_CALL = {404: "There is no such call."}
_STEERING = _NO_CALL | {409: "The call has not begun, or cannot do that now.", 410: "The call is over."}
_DIALLING = _STEERING | {
    403: "The target may not be called.",
    415: "The body is not JSON.",
    422: "The target cannot be one, or the trunk is unknown.",
}
_ONCE = {
    "Idempotency-Key": Header(
        "The same request with the same key is carried out once in 24 hours; repeats get the same answer.",
        KEY,
        "4f1c9a0e-7d55-4c0b-9d0a-2f0f6c1f6a11",
    )
}
_ONCE_ERRORS = {409: "The first request with this Idempotency-Key is still running, or was cut off without a result."}
_FROM = {
    "Last-Event-ID": Header("The last event received: continue after it.", events.ID, "019abc3d2f10-00001-5f0c9a1e")
}
_NO_QUEUE = {404: "There is no such queue."}
_NO_MEMBER = {404: "There is no such queue, or it has no such member."}
_NO_CALLER = {404: "There is no such queue, or no such caller waits in it."}
_BODY = {415: "The body is not JSON."}

ROUTES = (
    Route(
        path="/v1/calls",
        handler=calls.calls,
        summary="Calls, newest first",
        query=ListQuery,
        answers={"application/json": calls.CallList},
    ),
    Route(
        path="/v1/calls",
        method="POST",
        handler=placing.place,
        summary="Place a call",
        body=CallOrder,
        answers={"application/json": CallRecord},
        status=202,
        errors={
            403: "No trunk may call that number.",
            415: "The body is not JSON.",
            422: "The number cannot be one, or persona or trunk are unknown.",
        }
        | _ONCE_ERRORS,
        headers=_ONCE,
    ),
    Route(
        path="/v1/trunks",
        handler=trunks.trunks,
        summary="How each trunk is doing: registration, hosts, calls, the last refusals",
        answers={"application/json": trunks.TrunkList},
    ),
    Route(
        path="/v1/phones",
        handler=phones.phones,
        summary="The phones that register with us: which devices are there, until when, and whether they answer",
        answers={"application/json": phones.PhoneList},
    ),
    Route(
        path="/v1/calls/live",
        handler=calls.live_calls,
        summary="Calls in progress, newest first",
        query=PageQuery,
        answers={"application/json": calls.CallList},
    ),
    Route(
        path="/v1/calls/{call_id}",
        handler=calls.call,
        summary="One call with its legs, transfers, transcript and events",
        answers={"application/json": CallDetail},
        errors=_NO_CALL,
    ),
    Route(
        path="/v1/calls/{call_id}",
        method="DELETE",
        handler=steering.hang_up,
        summary="Hang up",
        query=HangUpQuery,
        answers={"application/json": steering.Steered},
        errors=_STEERING,
    ),
    Route(
        path="/v1/calls/{call_id}/say",
        method="POST",
        handler=steering.say,
        summary="Have the agent say something",
        body=steering.SayRequest,
        answers={"application/json": steering.Steered},
        errors=_STEERING | _BODY,
    ),
    Route(
        path="/v1/calls/{call_id}/digits",
        method="POST",
        handler=steering.send_digits,
        summary="Press keys, towards the customer or another leg",
        body=steering.DigitsRequest,
        answers={"application/json": steering.Steered},
        errors=_STEERING | _BODY,
    ),
    Route(
        path="/v1/calls/{call_id}/collect",
        method="POST",
        handler=collecting.collect,
        summary="Ask the caller for digits, and wait for them",
        body=collecting.CollectRequest,
        answers={"application/json": collecting.DigitsCollected},
        errors=_STEERING | _BODY | {422: "`least` is above `most`."},
    ),
    Route(
        path="/v1/calls/{call_id}/transfer",
        method="POST",
        handler=transferring.transfer,
        headers=_ONCE,
        summary="Bring the caller to somebody else",
        body=transferring.TransferRequest,
        answers={"application/json": TransferRecord},
        status=202,
        errors=_DIALLING,
    ),
    Route(
        path="/v1/calls/{call_id}/hold",
        method="POST",
        handler=steering.hold,
        summary="Put the caller on hold",
        answers={"application/json": steering.Steered},
        errors=_STEERING,
    ),
    Route(
        path="/v1/calls/{call_id}/resume",
        method="POST",
        handler=steering.resume,
        summary="Take the caller back from hold",
        answers={"application/json": steering.Steered},
        errors=_STEERING,
    ),
    Route(
        path="/v1/calls/{call_id}/recording/pause",
        method="POST",
        handler=steering.pause_recording,
        summary="From now on the recording is silent, whoever talks",
        answers={"application/json": steering.Steered},
        errors=_STEERING,
    ),
    Route(
        path="/v1/calls/{call_id}/recording/resume",
        method="POST",
        handler=steering.resume_recording,
        summary="The recording goes on",
        answers={"application/json": steering.Steered},
        errors=_STEERING,
    ),
    Route(
        path="/v1/calls/{call_id}/mute",
        method="POST",
        handler=steering.mute,
        summary="Keep the agent, or the caller, from being heard",
        body=steering.MuteRequest,
        answers={"application/json": steering.Steered},
        errors=_STEERING | _BODY,
    ),
    Route(
        path="/v1/calls/{call_id}/unmute",
        method="POST",
        handler=steering.unmute,
        summary="Let them be heard again",
        body=steering.MuteRequest,
        answers={"application/json": steering.Steered},
        errors=_STEERING | _BODY,
    ),
    Route(
        path="/v1/calls/{call_id}/listen",
        method="POST",
        handler=transferring.listen,
        summary="Call a supervisor in, who hears everybody",
        body=transferring.ListenRequest,
        answers={"application/json": transferring.Listening},
        status=202,
        errors=_DIALLING,
    ),
    Route(
        path="/v1/calls/{call_id}/recording",
        handler=recordings.recording,
        summary="The recording: stereo, caller left, everyone else right. Range is honored",
        answers={"audio/wav": None},
        errors={404: "No such call, it is still in progress, or it has no recording."},
    ),
    Route(
        path="/v1/calls/{call_id}/transcript",
        handler=transcripts.transcript,
        summary="The transcript, on the recording's time axis",
        query=TranscriptQuery,
        answers={"application/json": transcripts.Transcript, "text/plain": None},
        errors=_NO_CALL,
    ),
    Route(
        path="/v1/calls/{call_id}/token",
        method="POST",
        handler=tokens.token,
        summary="A token that lets a person join the call's LiveKit room, for example from a browser",
        body=TokenRequest,
        answers={"application/json": RoomToken},
        errors=_NO_CALL | {409: "The call has ended, or its room is local.", 415: "The body is not JSON."},
    ),
    Route(
        path="/v1/queues",
        handler=queues.queues,
        summary="Human queues: who waits, who is there, today's figures",
        answers={"application/json": queues.QueueList},
    ),
    Route(
        path="/v1/queues/{queue}",
        handler=queues.queue,
        summary="One queue with its members and callers",
        answers={"application/json": queues.QueueDetail},
        errors=_NO_QUEUE,
    ),
    Route(
        path="/v1/queues/{queue}/members",
        handler=queues.queue_members,
        summary="A queue's members",
        answers={"application/json": queues.MemberList},
        errors=_NO_QUEUE,
    ),
    Route(
        path="/v1/queues/{queue}/members",
        method="POST",
        handler=queues.put_member,
        summary="Add a member, or change one",
        body=queues.MemberRequest,
        answers={"application/json": queues.MemberReport},
        errors=_NO_QUEUE | _BODY,
    ),
    Route(
        path="/v1/queues/{queue}/members/{member}",
        method="DELETE",
        handler=queues.remove_member,
        summary="Remove a member from the queue",
        answers={"application/json": None},
        status=204,
        errors=_NO_MEMBER,
    ),
    *(
        Route(
            path=f"/v1/queues/{{queue}}/members/{{member}}/{verb}",
            method="POST",
            handler=handler,
            summary=summary,
            body=queues.PauseRequest if verb == "pause" else None,
            answers={"application/json": queues.MemberReport},
            errors=_NO_MEMBER | (_BODY if verb == "pause" else {}),
        )
        for verb, handler, summary in (
            ("sign-in", queues.sign_in, "Sign a member in, to all their queues"),
            ("sign-out", queues.sign_out, "Sign a member out of all their queues"),
            ("pause", queues.pause, "Pause a member, with a reason"),
            ("resume", queues.resume, "End a member's pause"),
            ("ready", queues.ready, "End a member's wrap-up early"),
        )
    ),
    Route(
        path="/v1/queues/{queue}/callers/{call_id}",
        method="POST",
        handler=queues.move_caller,
        summary="Change a waiting caller's priority",
        body=queues.CallerRequest,
        answers={"application/json": None},
        status=204,
        errors=_NO_CALLER | _BODY,
    ),
    Route(
        path="/v1/queues/{queue}/callers/{call_id}",
        method="DELETE",
        handler=queues.remove_caller,
        summary="Take a caller, or a callback, out of the queue",
        answers={"application/json": None},
        status=204,
        errors=_NO_CALLER,
    ),
    Route(
        path="/v1/events",
        handler=events.events,
        summary="What happens, as server-sent events; goes on with `Last-Event-ID`",
        query=EventsQuery,
        answers={"text/event-stream": None},
        headers=_FROM,
        errors={503: "Too many listeners."},
    ),
    Route(
        path="/v1/webhooks",
        handler=events.webhooks,
        summary="The webhooks of the settings, and how deliveries to them go",
        answers={"application/json": events.WebhookList},
    ),
    *CAMPAIGN_ROUTES,
    Route(
        path="/healthz",
        handler=health.healthz,
        summary="200 if calls can be taken, else 503 with the reasons",
        answers={"application/json": HealthReport},
    ),
    Route(path="/metrics", handler=health.metrics, summary="Metrics for Prometheus", answers={"text/plain": None}),
    Route(path="/", handler=page.page, summary="A simple page with the state and links", answers={"text/html": None}),
)
