"""Transcriptions of other vendors' agents, sent like livekit-agents does, through a real server."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from livekit import rtc
from rooms import a_room, access_of, phone_in, until

from telephony.livekit.access import join_token
from telephony.livekit.events import DataReceived, LiveKitEvent, TranscriptionReceived

PHONE = "sip_+15550111"
FINAL = {"lk.transcription_final": "true"}
TOPIC = "lk.transcription"


class Room:
    """A room with a phone of ours; `told` is what it hears of."""

    def __init__(self, stack: Any) -> None:
        self.access = access_of(stack)
        self.name = f"room-{uuid.uuid4().hex[:8]}"
        self.phone = a_room(self.access, self.name, PHONE, kind="sip")
        self.told: list[LiveKitEvent] = []
        self.phone.subscribe(self.told.append)

    @property
    def texts(self) -> list[tuple[str, str, str, bool]]:
        return [
            (event.identity, event.segment, event.text, event.final)
            for event in self.told
            if isinstance(event, TranscriptionReceived)
        ]

    @asynccontextmanager
    async def joined(self, identity: str, kind: str, **grants: Any) -> AsyncIterator[rtc.LocalParticipant]:
        """Somebody with LiveKit's own SDK, whom the phone knows of."""
        room = rtc.Room()
        await room.connect(self.access.url, join_token(self.access, self.name, identity, kind=kind, **grants))
        try:
            if not grants.get("hidden"):
                await until(lambda: identity in {who.identity for who in self.phone.participants}, what=identity)
            yield room.local_participant
        finally:
            await room.disconnect()


@pytest.fixture
async def room(livekit_stack: Any) -> AsyncIterator[Room]:
    made = Room(livekit_stack)
    async with phone_in(made.phone):
        yield made


async def said(me: rtc.LocalParticipant, segment: str, *chunks: str, final: bool, whose: str) -> None:
    """As livekit-agents tells a guess about somebody's words, and the end of guessing."""
    attributes = {"lk.segment_id": segment, "lk.transcription_final": str(final).lower()}
    writer = await me.stream_text(topic=TOPIC, sender_identity=whose, attributes=attributes)
    for chunk in chunks:
        await writer.write(chunk)
    await writer.aclose()


async def test_both_sides_of_a_conversation(room: Room) -> None:
    async with room.joined("agent-x", "agent") as agent:
        await said(agent, "SG_1", "I want", final=False, whose=PHONE)
        await said(agent, "SG_1", "I want to go", final=True, whose=PHONE)
        await until(lambda: (PHONE, "SG_1", "I want to go", True) in room.texts, what="the caller's words")
        attributes = {"lk.segment_id": "SG_2", "lk.transcription_final": "false"}
        writer = await agent.stream_text(topic=TOPIC, sender_identity="agent-x", attributes=attributes)
        await writer.write("Good ")
        await until(lambda: ("agent-x", "SG_2", "Good ", False) in room.texts, what="the agent's first word")
        await writer.write("morning")
        await writer.aclose(attributes=FINAL)
        await until(lambda: ("agent-x", "SG_2", "Good morning", True) in room.texts, what="the agent's words")
    assert [text for text in room.texts if text[3]] == [
        (PHONE, "SG_1", "I want to go", True),
        ("agent-x", "SG_2", "Good morning", True),
    ]


async def test_an_agent_that_goes_amid_a_word(room: Room) -> None:
    async with room.joined("agent-x", "agent") as agent:
        writer = await agent.stream_text(topic=TOPIC, attributes={"lk.segment_id": "SG_1"})
        await writer.write("Good m")
        await until(lambda: room.texts == [("agent-x", "SG_1", "Good m", False)], what="the agent's first word")
    async with room.joined("agent-y", "agent") as agent:
        await said(agent, "SG_2", "Hello", final=True, whose="agent-y")
        await until(lambda: ("agent-y", "SG_2", "Hello", True) in room.texts, what="the next agent's words")
    assert ("agent-x", "SG_1", "Good m", True) not in room.texts


async def test_people_cannot_put_words_into_others_mouths(room: Room) -> None:
    async with room.joined("agent-x", "agent") as agent, room.joined("ann", "standard") as ann:
        for whose in (PHONE, "agent-x"):
            await said(ann, "SG_1", "I owe Ann a million", final=True, whose=whose)
        await said(agent, "SG_2", "Hello", final=True, whose="agent-x")
        await until(lambda: ("agent-x", "SG_2", "Hello", True) in room.texts, what="the agent's words")
        await until(lambda: ("ann", "SG_1", "I owe Ann a million", True) in room.texts, what="Ann's words, as hers")
    assert {who for who, segment, _, _ in room.texts if segment == "SG_1"} == {"ann"}


async def test_somebody_hidden_with_a_token_of_ours_cannot_speak_for_the_agent(room: Room) -> None:
    """LiveKit does not say who of the hidden has sent data; `/v1/calls/…/token` gives tokens that send none."""
    grants = {"hidden": True, "can_publish": False, "can_publish_data": False}
    async with room.joined("eve", "standard", **grants) as eve, room.joined("agent-x", "agent") as agent:
        for topic in ("trunkline.event", TOPIC):
            await eve.publish_data(b"{}", topic=topic)
        await agent.publish_data(b"[]", topic="trunkline.event")
        await until(lambda: any(isinstance(event, DataReceived) for event in room.told), what="the agent's data")
        await asyncio.sleep(0.5)  # in which nothing else comes
    assert [event.payload for event in room.told if isinstance(event, DataReceived)] == [b"[]"]
