"""Who hears whom in a room of the real server: a consultation behind hold music, and back."""

from __future__ import annotations

from rooms import TONE, a_room, access_of, loud, phone_in, until

from telephony.livekit.api import LiveKitApi


async def test_a_phone_hears_only_whom_its_row_names(livekit_stack) -> None:
    access = access_of(livekit_stack)
    api = LiveKitApi(access)
    customer, human = a_room(access, "routed", "customer", "sip"), a_room(access, "routed", "human", "sip")
    agent = a_room(access, "routed", "agent-1", "agent", api=api)
    talks = agent.add_agent("agent").audio_output
    async with phone_in(customer) as customer_line, phone_in(human) as human_line:
        await agent.join()
        await until(lambda: {"customer", "human"} <= agent.speaking_tracks, what="both phones")
        await until(lambda: "agent-1" in customer.speaking_tracks and "agent-1" in human.speaking_tracks)
        talks.push(TONE)
        for line in (customer_line, human_line):
            await until(lambda line=line: any(loud(pcm) for _, pcm in line.heard), what="the agent")
        await talks.drained()
        await agent.route({"customer": set(), "human": {"agent-1"}})
        await until(lambda: customer_line.quiet and human_line.quiet, what="the end of the tone")
        held_from, asked_from = len(customer_line.heard), len(human_line.heard)
        talks.push(TONE)
        await until(lambda: any(loud(pcm) for _, pcm in human_line.heard[asked_from:]), what="the agent at the human's")
        await talks.drained()
        assert not any(loud(pcm) for _, pcm in customer_line.heard[held_from:])
        await agent.route({"customer": None, "human": None})
        back_from = len(customer_line.heard)
        human_line.say(TONE * 2)
        await until(lambda: any(loud(pcm) for _, pcm in customer_line.heard[back_from:]), what="the human's voice")
    await agent.close()
    await api.close()
