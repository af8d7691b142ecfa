"""A recorded caller on a real phone line: plays a fixture's timeline over SIP and RTP in real time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from agent.testing.caller import TimelineCaller
from agent.testing.fixture import Fixture
from gateway.record import CallClosed, CallEvents, CallOpened, CallRecord, RecordMessage, WorkerLost
from telephony.media.frames import FRAME_MS, SILENCE
from telephony.media.level import dbfs
from telephony.phone import PhoneCall
from telephony.phone.sdp import CODECS

__all__ = ["CallWatch", "HeardFrames", "play_timeline"]

_FRAME_S = FRAME_MS / 1000
_LEAD_FRAMES = 3  # ahead of the phone's clock, so a briefly late loop leaves no gap
_BEHIND_S = 0.2  # after a longer stall, continue from now instead of catching up


class HeardFrames:
    """The loudest frame that the phone has received since the last call."""

    def __init__(self, call: PhoneCall) -> None:
        self._received = call.received
        self._position = 0
        self._decoders = {codec.payload_type: codec.decode for codec in CODECS.values()}

    def latest(self) -> bytes:
        heard, level = SILENCE, -200.0
        while self._position < len(self._received):
            packet = self._received[self._position]
            self._position += 1
            decode = self._decoders.get(packet.payload_type)
            if decode is None or not packet.payload:
                continue
            pcm = decode(packet.payload)
            if (loudness := dbfs(pcm)) > level:
                heard, level = pcm, loudness
        return heard


async def play_timeline(call: PhoneCall, fixture: Fixture) -> TimelineCaller:
    """Follow the fixture's timeline on an answered call until it is over; hang up when the timeline says so, or after
    the fixture's limit. Returns the caller, whose `waiting_for` is None if it reached the end of its timeline."""
    loop = asyncio.get_running_loop()
    caller = TimelineCaller(fixture.timeline, fixture.line_noise)
    heard = HeardFrames(call)
    keys: set[asyncio.Task[None]] = set()
    call.play(SILENCE * _LEAD_FRAMES)
    started = call.answered_at or loop.time()
    tick = 0
    while not call.ended.done():
        behind = loop.time() - (started + tick * _FRAME_S)
        if behind > _BEHIND_S:
            tick += int(behind / _FRAME_S)
            call.play(SILENCE * _LEAD_FRAMES)
        elif behind < 0:
            await asyncio.wait([call.ended], timeout=-behind)
            if call.ended.done():
                break
        now = tick * _FRAME_S
        sent = caller.step(heard.latest(), now)
        if sent.press:
            key = asyncio.create_task(call.send_digits(sent.press, duration_ms=sent.press_ms, gap_ms=40))
            keys.add(key)
            key.add_done_callback(keys.discard)
        if sent.hang_up or now >= fixture.limit_s:
            break
        call.play(sent.pcm)
        tick += 1
    await asyncio.gather(*keys, return_exceptions=True)
    if not call.ended.done():
        await asyncio.sleep(_LEAD_FRAMES * _FRAME_S)  # let the last audio be heard before hanging up
        await call.hang_up()
    return caller


class CallWatch:
    """A gateway listener that collects the messages of one call, found by its SIP Call-ID."""

    def __init__(self, sip_call_id: Callable[[], str]) -> None:
        """`sip_call_id`: asked with each new call, since the phone knows it only when it dials."""
        self._sip_call_id = sip_call_id
        self.opened: CallOpened | None = None
        self.events: list[dict[str, object]] = []
        self.end: asyncio.Future[CallClosed | WorkerLost | CallRecord] = asyncio.get_running_loop().create_future()

    def __call__(self, message: RecordMessage) -> None:
        call_id = self.opened.call_id if self.opened is not None else None
        match message:
            case CallOpened() if message.sip_call_id == self._sip_call_id():
                self.opened = message
            case CallEvents() if message.call_id == call_id:
                self.events += message.events
            case CallClosed() if message.call_id == call_id:
                self._done(message)
            case WorkerLost() if call_id in message.call_ids:
                self._done(message)
            case CallRecord() if message.sip_call_id == self._sip_call_id():
                self._done(message)
            case _:
                pass

    def _done(self, message: CallClosed | WorkerLost | CallRecord) -> None:
        if not self.end.done():
            self.end.set_result(message)
