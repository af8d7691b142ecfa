"""A `Connection` on LiveKit's SDK. With `sdk_media` the only module that imports livekit.rtc, which loads a big
native library: import it only where LiveKit is used, and never use a room across a fork."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from livekit import rtc

from telephony.livekit import events
from telephony.livekit.connection import ConnectionListener, Disconnected, RpcHandler
from telephony.livekit.errors import LiveKitError, LiveKitTimeout, NotInRoom, RpcFailed, connect_error, without_tokens
from telephony.livekit.events import ParticipantKind, RemoteParticipant
from telephony.livekit.sdk_media import MediaSource, MediaStream, take_over
from telephony.livekit.transcriptions import TOPIC, TranscriptionStreams

__all__ = ["RtcConnection", "load"]

_DIGIT_CODES = {digit: code for code, digit in enumerate("0123456789*#ABCD")}  # RFC 4733 section 3.2
_CLOSE_LIMIT_S = 2.0
# The SDK begins to listen for the answer to a request only when it has sent it (set_attributes in its
# local_participant.rs), so on a busy machine it misses one and waits 5 s. The server has done it all the same.
_ANSWER_LIMIT_S = 1.0
# Below about 66 kbit/s libopus codes speech with SILK (opus_encoder.c decides), which took 1.1 % of a core per track in
# silence and 1.4 in speech; above, with CELT: 0.3 and 0.7. The rate is about that of the phone's PCMU.
_BITRATE = 80_000  # bit/s, at most
_SDK_LOG = logging.getLogger("livekit")


def load() -> None:
    """Start the native runtime now (50 ms), not when the first call rings. Not before a fork."""
    take_over()


class _SdkLog(logging.Filter):
    """Removes tokens, and the line that the SDK logs about every room that is left normally."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = without_tokens(record.getMessage()), None
        return "Attempted to drop unknown FFI handle" not in record.msg


_SDK_LOG.addFilter(_SdkLog())
_SDK_LOG.setLevel(logging.WARNING)


class RtcConnection:
    """Implements `Connection`."""

    def __init__(self, listener: ConnectionListener) -> None:
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._room = rtc.Room(self._loop)
        # Without the SDK's queue: frames go to the encoder as they come, which saves 40 ms per direction. It then takes
        # 10 ms pieces. The media clock spaces them; receivers' jitter buffers absorb what the loop adds.
        self._source = MediaSource(self._loop)
        self._track: Any = None
        self._published: Any = None
        self._streams: dict[str, MediaStream] = {}
        self._transcriptions = TranscriptionStreams(self._loop, self._tell)
        self._closed = False
        self._opened = False
        self._listen()

    @property
    def room_name(self) -> str:
        return self._room.name

    @property
    def metadata(self) -> str:
        return self._room.metadata

    @property
    def track(self) -> str:
        return str(self._published.sid) if self._published is not None else ""

    def participants(self) -> tuple[RemoteParticipant, ...]:
        return tuple(self._told(each) for each in self._room.remote_participants.values())

    async def open(self, url: str, token: str, timeout_s: float) -> None:
        # One peer connection for both directions takes two to three times the CPU to set up (105-200 ms against 60),
        # which matters when several calls arrive at once.
        options = rtc.RoomOptions(connect_timeout=timeout_s, single_peer_connection=False)
        try:
            async with asyncio.timeout(timeout_s):
                await self._room.connect(url, token, options)
        except rtc.ConnectError as error:
            raise connect_error(url, error.message) from None  # its text contains the token
        except TimeoutError as error:
            raise LiveKitTimeout(f"LiveKit at {url}: no connection within {timeout_s:g} s") from error
        self._opened = True

    async def publish(self) -> None:
        track = rtc.LocalAudioTrack.create_audio_track("phone", self._source.source)
        # RED doubles packets for no gain on a short path; DTX saves the cost of silence.
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE, dtx=True, red=False)
        options.audio_encoding.max_bitrate = _BITRATE
        try:
            self._published = await self._room.local_participant.publish_track(track, options)
        except Exception as error:  # the SDK's errors have no common base
            raise LiveKitError(f"publishing audio failed: {without_tokens(str(error))}") from error
        self._track = track

    def play(self, pcm: bytes) -> None:
        if self._track is not None:
            self._source.put(pcm)

    def mute(self, muted: bool) -> None:
        if self._track is not None:
            self._track.mute() if muted else self._track.unmute()

    async def send_data(self, payload: bytes, topic: str, to: Sequence[str]) -> None:
        me = self._me()
        try:
            await me.publish_data(payload, reliable=True, destination_identities=list(to), topic=topic)
        except Exception as error:  # as above
            raise NotInRoom(f"sending data failed: {error}") from error

    async def send_digit(self, digit: str) -> None:
        me = self._me()
        try:
            await me.publish_dtmf(code=_DIGIT_CODES[digit], digit=digit)
        except Exception as error:  # as above
            raise NotInRoom(f"sending a digit failed: {error}") from error

    async def call(self, identity: str, method: str, payload: str, timeout_s: float) -> str:
        me = self._me()
        try:
            return await me.perform_rpc(
                destination_identity=identity, method=method, payload=payload, response_timeout=timeout_s
            )
        except rtc.RpcError as error:
            raise RpcFailed(f"{method} at {identity}: {error.message}", int(error.code)) from error

    def serve(self, method: str, handler: RpcHandler) -> None:
        async def answer(data: rtc.RpcInvocationData) -> str:
            try:
                return await handler(data.caller_identity, data.payload)
            except LiveKitError as error:
                raise rtc.RpcError(rtc.RpcError.ErrorCode.APPLICATION_ERROR, str(error)) from error

        self._me().register_rpc_method(method, answer)

    async def set_attributes(self, attributes: dict[str, str]) -> None:
        me = self._me()
        with suppress(TimeoutError):
            async with asyncio.timeout(_ANSWER_LIMIT_S):
                await me.set_attributes(attributes)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        for stream in self._streams.values():
            stream.close()
        self._transcriptions.close()
        try:
            async with asyncio.timeout(_CLOSE_LIMIT_S):
                if self._opened:
                    await self._room.disconnect()
                await self._source.close()
        except Exception as error:  # noqa: BLE001 - nothing can be done about it
            _SDK_LOG.warning("leaving a room failed: %r", error)

    def _me(self) -> rtc.LocalParticipant:
        if not self._opened or self._closed or not self._room.isconnected():
            raise NotInRoom("no longer in the room, or not yet")
        return self._room.local_participant

    # --- callbacks from the SDK --------------------------------------------------------------------------------------

    def _listen(self) -> None:
        on = self._room.on
        on("participant_connected", lambda who: self._tell(events.ParticipantJoined(self._now(), self._told(who))))
        on("participant_disconnected", self._left)
        on("track_subscribed", self._track_subscribed)
        on("track_unsubscribed", self._track_unsubscribed)
        on("track_muted", lambda who, pub: self._tell(events.TrackMuted(self._now(), who.identity, pub.sid)))
        on("track_unmuted", lambda who, pub: self._tell(events.TrackUnmuted(self._now(), who.identity, pub.sid)))
        on("data_received", self._data)
        on("sip_dtmf_received", self._dtmf)
        on("participant_attributes_changed", self._attributes)
        on("room_metadata_changed", lambda _, new: self._tell(events.MetadataChanged(self._now(), new)))
        on("reconnecting", lambda: self._tell(events.Reconnecting(self._now())))
        on("reconnected", lambda: self._tell(events.Reconnected(self._now())))
        on("moved", lambda: self._tell(events.RoomMoved(self._now(), self._room.name)))
        on("disconnected", lambda reason: self._tell(Disconnected(self._now(), _reason(reason))))
        self._room.register_text_stream_handler(TOPIC, self._transcriptions.opened)

    def _now(self) -> float:
        return self._loop.time()

    def _tell(self, event: events.LiveKitEvent) -> None:
        if not self._closed:
            self._listener.happened(event)

    def _told(self, who: rtc.RemoteParticipant) -> RemoteParticipant:
        kind = rtc.ParticipantKind.Name(who.kind).removeprefix("PARTICIPANT_KIND_").lower()
        speaks = any(
            publication.kind == rtc.TrackKind.KIND_AUDIO and publication.subscribed
            for publication in who.track_publications.values()
        )
        return RemoteParticipant(
            who.identity,
            ParticipantKind(kind) if kind in set(ParticipantKind) else ParticipantKind.STANDARD,
            who.name,
            who.attributes,
            who.metadata,
            speaks,
        )

    def _left(self, who: rtc.RemoteParticipant) -> None:
        reason = who.disconnect_reason
        told = "" if reason is None else _reason(reason)
        self._tell(events.ParticipantLeft(self._now(), self._told(who), told))

    def _track_subscribed(self, track: Any, publication: Any, who: rtc.RemoteParticipant) -> None:
        if track.kind != rtc.TrackKind.KIND_AUDIO or self._closed:
            return
        self._tell(events.TrackStarted(self._now(), who.identity, publication.sid))
        sid = publication.sid
        self._streams[sid] = MediaStream(track, lambda pcm: self._listener.heard(sid, pcm))

    def _track_unsubscribed(self, track: Any, publication: Any, who: rtc.RemoteParticipant) -> None:
        stream = self._streams.pop(publication.sid, None)
        if stream is not None:
            stream.close()
            self._tell(events.TrackStopped(self._now(), who.identity, publication.sid))

    def _data(self, packet: rtc.DataPacket) -> None:
        who = packet.participant.identity if packet.participant is not None else None
        self._tell(events.DataReceived(self._now(), packet.topic or "", packet.data, who))

    def _dtmf(self, dtmf: rtc.SipDTMF) -> None:
        who = dtmf.participant.identity if dtmf.participant is not None else None
        digit = dtmf.digit or next((key for key, code in _DIGIT_CODES.items() if code == dtmf.code), "")
        if digit in _DIGIT_CODES:
            self._tell(events.DtmfReceived(self._now(), digit, who))

    def _attributes(self, _: dict[str, str], who: Any) -> None:
        self._tell(events.AttributesChanged(self._now(), who.identity, who.attributes))


def _reason(reason: Any) -> str:
    return str(rtc.DisconnectReason.Name(reason)).lower()
