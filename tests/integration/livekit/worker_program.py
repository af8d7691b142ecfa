"""A worker as written by someone who knows livekit-agents."""

import os

from agent import Agent, AgentSession
from agent.providers.instant import InstantLLM, InstantSTT, InstantTTS
from agent.providers.silero import SileroVAD
from agent.worker import AgentServer, JobContext, JobProcess

server = AgentServer(port=0, num_idle_processes=1, load_threshold=1.0)


class Greeter(Agent):
    """You greet."""

    greeting = "Hello there."


@server.prewarm
def prewarm(proc: JobProcess) -> None:
    proc.userdata["vad"] = SileroVAD()


@server.rtc_session(agent_name=os.environ["AGENT_NAME"])
async def entrypoint(ctx: JobContext) -> None:
    async def bye(reason: str) -> None:
        print(f"bye from process {ctx.proc.name}: {reason}", flush=True)

    ctx.add_shutdown_callback(bye)
    await ctx.connect()
    caller = await ctx.wait_for_participant()
    session = AgentSession(vad=ctx.proc.userdata["vad"], stt=InstantSTT(), llm=InstantLLM(), tts=InstantTTS())
    await session.start(agent=Greeter(), room=ctx.room)
    ctx.room.subscribe(lambda event: ctx.shutdown("left") if caller.identity not in present(ctx) else None)


def present(ctx: JobContext) -> set[str]:
    return {who.identity for who in ctx.room.participants}


if __name__ == "__main__":
    server.main()
