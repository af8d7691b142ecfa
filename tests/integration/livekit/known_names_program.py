"""A worker that uses the names that people know from livekit-agents."""

import logging
import os

from livekit import api

from agent.worker import AgentServer, AutoSubscribe, JobContext, JobRequest, get_job_context
from telephony.livekit.events import DtmfReceived, LiveKitEvent, RemoteParticipant

server = AgentServer(port=0, num_idle_processes=1, load_threshold=1.0)
log = logging.getLogger("known_names")


async def on_request(request: JobRequest) -> None:
    if request.job.metadata == "not for us":
        await request.reject(terminate=False)
    elif request.job.metadata == "unheard of":
        raise LookupError("no such tenant")
    else:
        await request.accept(name="Rosa", identity=f"rosa-{request.id}", attributes={"desk": "3"})


@server.rtc_session(agent_name=os.environ["AGENT_NAME"], on_request=on_request)
async def entrypoint(ctx: JobContext) -> None:
    ctx.log_context_fields = {"room": ctx.room.name}
    ctx.add_participant_entrypoint(met)
    await ctx.connect(auto_subscribe=AutoSubscribe.AUDIO_ONLY)
    caller = await ctx.wait_for_participant()
    rooms = await ctx.api.room.list_rooms(api.ListRoomsRequest(names=[ctx.room.name]))
    log.info("with %s in %d room", caller.identity, len(rooms.rooms))
    ctx.room.subscribe(pressed)


async def met(ctx: JobContext, participant: RemoteParticipant) -> None:
    log.info("met %s", participant.identity)


def pressed(event: LiveKitEvent) -> None:
    match event:
        case DtmfReceived(digit="9"):
            get_job_context().delete_room()
        case DtmfReceived(digit="8"):
            deleting = get_job_context().delete_room("a room that there is not")
            deleting.add_done_callback(lambda done: log.info("none to delete: %s", done.exception()))


if __name__ == "__main__":
    server.main()
