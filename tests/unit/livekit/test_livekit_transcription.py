"""Transcriptions by other vendors' agents: text streams, and the messages made from them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agent.events import AgentMessage, SessionStarted, UserMessage
from gateway.livekit.transcription import SpokenWords
from telephony.livekit.events import LiveKitEvent, TranscriptionReceived
from telephony.livekit.transcriptions import TranscriptionStreams
from tests.unit.callworker.call_world import INFO
from tests.unit.livekit.test_livekit_conversation import RoomWorld, answered, call
from tests.unit.livekit.virtually import virtual

PHONE, AGENT = "sip_+15550111", "agent-1"


def heard(at: float, identity: str, segment: str, text: str, final: bool = False) -> TranscriptionReceived:
    return TranscriptionReceived(at, identity, segment, text, final)


@pytest.fixture
def words() -> SpokenWords:
    return SpokenWords(PHONE, lambda identity: identity == AGENT)


def test_the_callers_last_guess_counts(words: SpokenWords) -> None:
    assert words.take(heard(1.0, PHONE, "SG_1", "I want")) is None
    assert words.take(heard(1.5, PHONE, "SG_1", "I won two")) is None
    message = words.take(heard(2.0, PHONE, "SG_1", "I want to go. ", final=True))
    assert message == UserMessage(2.0, "I want to go.", 1.0, 2.0, "speech")
    assert words.rest() == []


def test_what_the_agent_says_is_one_message_a_segment(words: SpokenWords) -> None:
    for at, text in ((1.0, "Good"), (1.4, "Good morning")):
        assert words.take(heard(at, AGENT, "SG_1", text)) is None
    message = words.take(heard(1.6, AGENT, "SG_1", "Good morning", final=True))
    assert message == AgentMessage(1.6, "Good morning", "Good morning", False, 1.0, "reply")


def test_both_may_use_one_name_for_a_segment(words: SpokenWords) -> None:
    words.take(heard(1.0, AGENT, "SG_1", "Good morning"))
    assert words.take(heard(1.2, PHONE, "SG_1", "Hello", final=True)) == UserMessage(1.2, "Hello", 1.2, 1.2, "speech")
    assert [type(message) for message in words.rest()] == [AgentMessage]


def test_people_in_the_room_write_no_record(words: SpokenWords) -> None:
    assert words.take(heard(1.0, "ann", "SG_1", "The caller owes us a million", final=True)) is None
    assert words.take(heard(1.0, "ann", "SG_2", "The caller owes us a million")) is None
    assert words.rest() == []


def test_an_agent_that_has_left_is_still_known_by_what_it_began() -> None:
    there = {AGENT}
    words = SpokenWords(PHONE, there.__contains__)
    words.take(heard(1.0, AGENT, "SG_1", "Bye"))
    there.clear()
    assert isinstance(words.take(heard(1.2, AGENT, "SG_1", "Bye", final=True)), AgentMessage)


def test_silence_is_no_message(words: SpokenWords) -> None:
    assert words.take(heard(1.0, PHONE, "SG_1", " ", final=True)) is None


def test_what_was_under_way_at_the_end_is_kept_in_order(words: SpokenWords) -> None:
    words.take(heard(2.0, AGENT, "SG_2", "One mom"))
    words.take(heard(1.0, PHONE, "SG_1", "Wait"))
    assert [(message.at, message.to_dict()["text"]) for message in words.rest()] == [(1.0, "Wait"), (2.0, "One mom")]
    assert words.rest() == []


def test_segments_that_never_end_do_not_fill_the_memory(words: SpokenWords) -> None:
    for number in range(1000):
        words.take(heard(1.0, AGENT, f"SG_{number}", "and"))
    assert len(words.rest()) == 64


# --- streams ----------------------------------------------------------------------------------------------------------


@dataclass
class Header:
    stream_id: str = "ST_1"
    attributes: dict[str, str] | None = field(default_factory=dict)


class FakeStream:
    """A stream that is fed; its end may add attributes, or be an error."""

    def __init__(self, **attributes: str) -> None:
        self.info = Header(attributes={f"lk.{name}": value for name, value in attributes.items()})
        self.closed = False
        self._chunks: asyncio.Queue[str | Exception | None] = asyncio.Queue()

    def feed(self, *chunks: str | Exception | None) -> None:
        for chunk in chunks:
            self._chunks.put_nowait(chunk)

    async def __aiter__(self) -> AsyncIterator[str]:
        while (chunk := await self._chunks.get()) is not None:
            if isinstance(chunk, Exception):
                raise chunk
            yield chunk

    def close(self) -> None:
        self.closed = True


def streams() -> tuple[TranscriptionStreams, list[LiveKitEvent]]:
    told: list[LiveKitEvent] = []
    return TranscriptionStreams(asyncio.get_running_loop(), told.append), told


def as_told(told: list[LiveKitEvent]) -> list[tuple[str, str, str, bool]]:
    assert all(isinstance(event, TranscriptionReceived) for event in told)
    return [(event.identity, event.segment, event.text, event.final) for event in told]


@virtual
async def test_an_agents_stream_grows_and_its_end_says_that_it_is_final() -> None:
    reading, told = streams()
    stream = FakeStream(segment_id="SG_1", transcription_final="false", transcribed_track_id="TR_1")
    reading.opened(stream, AGENT)
    stream.feed("Good ")
    await asyncio.sleep(1)
    assert as_told(told) == [(AGENT, "SG_1", "Good ", False)]
    stream.feed("morning")
    await asyncio.sleep(1)
    stream.info.attributes["lk.transcription_final"] = "true"
    stream.feed(None)
    await asyncio.sleep(1)
    assert as_told(told)[1:] == [(AGENT, "SG_1", "Good morning", False), (AGENT, "SG_1", "Good morning", True)]
    assert [event.track for event in told] == ["TR_1"] * 3


@virtual
async def test_a_guess_about_the_caller_is_not_final() -> None:
    reading, told = streams()
    stream = FakeStream(segment_id="SG_1", transcription_final="false")
    stream.feed("I want", None)
    reading.opened(stream, PHONE)
    await asyncio.sleep(1)
    assert as_told(told) == [(PHONE, "SG_1", "I want", False)]


@virtual
async def test_a_stream_that_says_nothing_of_itself_is_a_segment_that_is_not_over() -> None:
    reading, told = streams()
    stream = FakeStream()
    stream.info.attributes = None
    stream.feed("Hm", None)
    reading.opened(stream, AGENT)
    await asyncio.sleep(1)
    assert as_told(told) == [(AGENT, "ST_1", "Hm", False)]


@virtual
async def test_a_stream_that_breaks_off_and_others_go_on() -> None:
    reading, told = streams()
    broken, other = FakeStream(segment_id="SG_1"), FakeStream(segment_id="SG_2")
    reading.opened(broken, AGENT)
    reading.opened(other, AGENT)
    broken.feed("Good m", ConnectionError("aborted"))
    await asyncio.sleep(1)
    other.feed("orning")
    await asyncio.sleep(1)
    assert as_told(told) == [(AGENT, "SG_1", "Good m", False), (AGENT, "SG_2", "orning", False)]


@virtual
async def test_nothing_is_read_after_closing_nor_more_than_can_be_meant() -> None:
    reading, told = streams()
    many = [FakeStream() for _ in range(40)]
    for stream in many:
        reading.opened(stream, "ann")
    assert [stream.closed for stream in many] == [False] * 32 + [True] * 8
    many[0].feed("x" * 30_000)
    await asyncio.sleep(1)
    assert [len(text) for _, _, text, _ in as_told(told)] == [20_000]
    reading.close()
    await asyncio.sleep(1)
    assert all(stream.closed for stream in many)
    many[1].feed("too late")
    await asyncio.sleep(1)
    assert len(told) == 1
    reading.close()


# --- the record -------------------------------------------------------------------------------------------------------


def told_by(world: RoomWorld, identity: str, segment: str, text: str, final: bool = False) -> None:
    now = asyncio.get_running_loop().time()
    world.server.connection(f"sip_{INFO.caller}").tell(TranscriptionReceived(now, identity, segment, text, final))


def test_the_record_of_a_call_that_a_foreign_agent_served_has_both_sides(tmp_path: Path) -> None:
    phone = f"sip_{INFO.caller}"

    async def script(world: RoomWorld) -> None:
        await answered(world)
        await world.agent()
        await asyncio.sleep(1)
        told_by(world, phone, "SG_1", "I want")
        await asyncio.sleep(1)
        told_by(world, phone, "SG_1", "I want to go, by 4929 1234 5678 1234", final=True)
        told_by(world, "ann", "SG_2", "I owe Ann a million", final=True)
        told_by(world, AGENT, "SG_3", "Where to")
        await asyncio.sleep(0.5)
        told_by(world, AGENT, "SG_3", "Where to?", final=True)
        told_by(world, AGENT, "SG_4", "I could of")
        await asyncio.sleep(0.5)
        world.leg.end(reason="bye")

    world = call(tmp_path, script)
    assert world.outcome == ("answered", "caller", "bye")
    assert [(event["type"], event["text"]) for event in world.events] == [
        ("user_message", "I want to go, by •••• •••• •••• ••••"),  # it masks nothing itself
        ("agent_message", "Where to?"),
        ("agent_message", "I could of"),
    ]
    first, second, _ = world.events
    assert first["ended_at"] - first["started_at"] == pytest.approx(1.0)
    assert second["at"] - second["started_at"] == pytest.approx(0.5)
    assert second["t_ms"] - first["t_ms"] == pytest.approx(500)


def test_an_agent_that_tells_its_events_is_not_recorded_twice(tmp_path: Path) -> None:
    async def script(world: RoomWorld) -> None:
        await answered(world)
        room = await world.agent()
        event = SessionStarted(asyncio.get_running_loop().time(), "Clinic")
        body = json.dumps({**event.to_dict(), "unix_ms": time.time() * 1000})
        await room.send_data(body.encode(), "trunkline.event")
        await asyncio.sleep(0.5)
        told_by(world, AGENT, "SG_1", "Hello", final=True)
        told_by(world, AGENT, "SG_2", "Hel")
        await asyncio.sleep(0.5)
        world.leg.end(reason="bye")

    assert call(tmp_path, script).types() == ["session_started"]
