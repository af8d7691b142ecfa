"""Hold, mute and listening in over REST, as phones of ours hear it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from statistics import median

from gateway_process import RunningGateway, until
from test_gateway_further_legs import AGENT_HZ, CUSTOMER_HZ, HUMAN_HZ, hears_the_agent, strength
from test_gateway_transfers import Talking, talking

from telephony.media.tones import tone
from telephony.phone import PhoneCall
from telephony.phone.analysis import on_time_axis
from telephony.phone.dialog import respond
from telephony.phone.signaling import Received

StartGateway = Callable[..., RunningGateway]


async def hears(listener: PhoneCall, seconds: float = 0.8) -> bytes:
    loop = asyncio.get_running_loop()
    since = loop.time()
    await asyncio.sleep(seconds)
    return on_time_axis(listener.received, since, loop.time() - 0.1)


async def hears_of(speaker: PhoneCall, listener: PhoneCall, hertz: float) -> float:
    """How much of what the listener hears is this tone, which the speaker plays, 0 to 1."""
    speaker.play(tone(hertz, 1000))
    await asyncio.sleep(0.2)
    return strength(await hears(listener, 0.6), hertz)


async def on_hold(world: Talking) -> None:
    assert (await world.post("hold"))[0] == 200
    await until(lambda: world.call.direction == "recvonly", what="a re-INVITE that puts the phone on hold")


async def test_a_held_caller_hears_tones_and_is_taken_back(start_gateway: StartGateway) -> None:
    async with talking(start_gateway, session={"away_ms": 1500}) as world:
        await on_hold(world)
        await asyncio.sleep(0.5)
        pcm = await hears(world.call, 5)
        loud = [strength(pcm[i : i + 1600], hz) for hz in (523.25, 587.33, 783.99) for i in range(0, len(pcm), 1600)]
        assert max(loud) > 0.9
        assert max(strength(pcm[i : i + 1600], AGENT_HZ) for i in range(0, len(pcm), 1600)) < 0.3
        assert (await world.post("hold"))[0] == 200
        assert not world.call.ended.done(), "the silence ladder stands still"
        back_at = asyncio.get_running_loop().time()
        assert (await world.post("resume"))[0] == 200
        await until(lambda: world.call.direction == "sendrecv", what="a re-INVITE that takes the phone back")
        assert (await world.post("resume"))[0] == 200
        await hears_the_agent(world.call, back_at)
        await world.call.hang_up()
        record = await world.record()
    kinds = [each["type"] for each in record["events"]]
    assert (kinds.count("call_held"), kinds.count("call_resumed"), kinds.count("silence_prompted")) == (1, 1, 0)
    assert (record["ended_by"], record["media_alarms"]) == ("caller", [])
    assert any(turn["kind"] == "hold" and "was on hold" in turn["text"] for turn in record["turns"])


async def test_hold_and_resume_in_quick_succession_end_as_told(start_gateway: StartGateway) -> None:
    async with talking(start_gateway) as world:
        for _ in range(3):
            assert (await world.post("hold"))[0] == 200
            assert (await world.post("resume"))[0] == 200
        await asyncio.sleep(1)
        assert world.call.direction == "sendrecv"
        await world.call.hang_up()
        await world.record()


async def test_a_muted_agent_is_not_heard(start_gateway: StartGateway) -> None:
    async with talking(start_gateway) as world:
        assert (await world.post("mute", {"who": "agent"}))[0] == 200
        await asyncio.sleep(0.3)
        assert not any(await hears(world.call)), "silence"
        assert (await world.post("unmute", {"who": "agent"}))[0] == 200
        await asyncio.sleep(0.3)
        assert strength(await hears(world.call), AGENT_HZ) > 0.9
        await world.call.hang_up()
        await world.record()


async def test_a_supervisor_listens_and_barges_in(start_gateway: StartGateway) -> None:
    async with talking(start_gateway) as world:
        await asyncio.sleep(5)  # the greeting
        to = f"sip:boss@127.0.0.1:{world.called.address[1]}"
        status, answer = await world.post("listen", {"to": to})
        assert (status, answer["mode"]) == (202, "listen")
        boss = await world.called.incoming()
        await boss.answer()
        await until(lambda: len(boss.received) > 20, what="audio")
        assert await hears_of(world.call, boss, CUSTOMER_HZ) > 0.9
        assert await hears_of(boss, world.call, HUMAN_HZ) < 0.1
        status, again = await world.post("listen", {"to": to, "mode": "barge"})
        assert (status, again["leg_id"]) == (202, answer["leg_id"])
        assert await hears_of(boss, world.call, HUMAN_HZ) > 0.9
        await boss.hang_up()
        await until(lambda: world.gateway.get(f"/v1/calls/{world.call_id}")["legs"][1]["outcome"], what="the leg's end")
        assert not world.call.ended.done()
        await world.call.hang_up()
        record = await world.record()
    assert [leg["role"] for leg in record["legs"]] == ["customer", "supervisor"]
    assert median([each["t_ms"] for each in record["events"] if each["type"].startswith("supervisor_")]) > 0


async def test_a_phone_that_refuses_to_be_held_hears_the_tones_all_the_same(start_gateway: StartGateway) -> None:
    async with talking(start_gateway) as world:
        refused: list[str] = []
        usual = world.call.on_request

        def on_request(request: Received) -> None:
            if request.method == "INVITE" and not refused:
                refused.append(request.text)
                answer = respond(request, 488, "Not Acceptable Here", to_tag=world.call.dialog.tag)
                world.caller.reply(request, answer)
            else:
                usual(request)

        world.call.on_request = on_request  # type: ignore[method-assign]
        assert (await world.post("hold"))[0] == 200
        await until(lambda: refused, what="a re-INVITE")
        assert "a=sendonly" in refused[0]
        pcm = await hears(world.call, 5)
        assert max(strength(pcm[i : i + 1600], 523.25) for i in range(0, len(pcm), 1600)) > 0.9
        since = asyncio.get_running_loop().time()
        assert (await world.post("resume"))[0] == 200
        await hears_the_agent(world.call, since)
        await world.call.hang_up()
        await world.record()


async def test_each_side_may_hold_the_other(start_gateway: StartGateway) -> None:
    async with talking(start_gateway) as world:
        await world.call.hold()
        assert (await world.post("hold"))[0] == 200
        await asyncio.sleep(0.5)
        assert (await world.post("resume"))[0] == 200
        await asyncio.sleep(0.5)
        since = asyncio.get_running_loop().time()
        await world.call.resume()
        await hears_the_agent(world.call, since)
        await world.call.hang_up()
        record = await world.record()
    assert record["ended_by"] == "caller"
