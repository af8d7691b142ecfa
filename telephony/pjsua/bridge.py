"""Audio between PJSIP's conference bridge and our rooms, on PJSIP's clock thread.

Each 20 ms tick the bridge first takes one frame from every source (`pull` for each leg, then the jitter buffer of each
RTP stream, in slot order), mixes, and then hands one to every sink (`push`, and the RTP packet goes out). So what a
leg pulls leaves within the same tick, and what comes out of the jitter buffer is pushed in the same tick; no frame
waits between bridge and room.

A port lives as long as the endpoint and serves one call after another: PJSIP removes ports asynchronously, and a
Python object that is destroyed while the clock calls it takes the process down.
"""

from __future__ import annotations

import ctypes
import logging
from time import monotonic

from telephony.errors import PjsipError
from telephony.media.frames import FRAME_BYTES, FRAME_MS, SAMPLE_RATE, SILENCE
from telephony.pjsua._api import (
    PJMEDIA_FORMAT_PCM,
    PJMEDIA_FRAME_TYPE_AUDIO,
    PJMEDIA_TYPE_AUDIO,
    AudDevManager,
    AudioMediaPort,
    ByteVector,
    Endpoint,
    MediaFormatAudio,
    MediaFrame,
)
from telephony.pjsua.native import vector_address
from telephony.rooms.protocol import LegAudio

__all__ = ["AudioPort", "Bridge"]

log = logging.getLogger(__name__)

_CLOCK_LINGER_S = 0.5  # PJSIP removes the last call's stream on a later tick


class AudioPort(AudioMediaPort):
    """A port of the bridge that one leg's room can be attached to."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._audio: LegAudio | None = None
        self._out = ByteVector(FRAME_BYTES)
        self._out_address = vector_address(self._out)
        self._failed = False
        audio_format = MediaFormatAudio()
        audio_format.type = PJMEDIA_TYPE_AUDIO
        audio_format.init(PJMEDIA_FORMAT_PCM, SAMPLE_RATE, 1, FRAME_MS * 1000, 16)
        self.createPort(name, audio_format)

    def attach(self, audio: LegAudio) -> None:
        self._audio = audio
        self._failed = False

    def detach(self) -> None:
        """A frame already being handed over may still reach the room."""
        self._audio = None

    def onFrameReceived(self, frame: MediaFrame) -> None:
        audio = self._audio
        if audio is None:
            return
        try:
            # While nothing is connected (on hold), the bridge hands out empty frames: that is silence.
            pcm = SILENCE
            if frame.size == FRAME_BYTES:
                pcm = ctypes.string_at(vector_address(frame.buf), FRAME_BYTES)
            audio.push(pcm, monotonic())
        except BaseException:  # noqa: BLE001 - an exception that leaves a SWIG director aborts the process
            self._fault("push")

    def onFrameRequested(self, frame: MediaFrame) -> None:
        try:
            audio = self._audio
            pcm = SILENCE
            if audio is not None:
                try:
                    pcm = audio.pull(monotonic())
                except BaseException:  # noqa: BLE001 - as above; the peer gets silence
                    self._fault("pull")
                if len(pcm) != FRAME_BYTES:
                    self._fault("pull")
                    pcm = SILENCE
            ctypes.memmove(self._out_address, pcm, FRAME_BYTES)
            frame.type = PJMEDIA_FRAME_TYPE_AUDIO
            frame.buf = self._out
            frame.size = FRAME_BYTES
        except BaseException:  # noqa: BLE001 - as above
            self._fault("pull")

    def _fault(self, what: str) -> None:
        if not self._failed:
            self._failed = True
            log.exception("room audio failed in %s; the port plays silence, and later failures are not logged", what)


class Bridge:
    """The conference bridge and its clock. On the PJSIP thread only."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._devices: AudDevManager | None = endpoint.audDevManager()
        self._ports: list[AudioPort] = []
        self._free: list[AudioPort] = []
        self._ticking = False
        self._idle_since: float | None = None
        self._manager.setNoDev()

    @property
    def ticking(self) -> bool:
        return self._ticking

    def take(self, audio: LegAudio) -> AudioPort:
        """A port that ticks every 20 ms from now on, whether or not RTP arrives."""
        self._idle_since = None
        if not self._ticking:
            self._manager.setNullDev()
            self._ticking = True
        if self._free:
            port = self._free.pop()
        else:
            port = AudioPort(f"leg{len(self._ports)}")
            self._ports.append(port)
        port.attach(audio)
        # The bridge asks a port for frames only while something listens to it; the null device always does.
        port.startTransmit(self._manager.getPlaybackDevMedia())
        return port

    def give_back(self, port: AudioPort, now: float) -> None:
        port.detach()
        if self._devices is None:
            return
        port.stopTransmit(self._devices.getPlaybackDevMedia())
        self._free.append(port)
        if len(self._free) == len(self._ports):
            self._idle_since = now

    def rest(self, now: float) -> None:
        """Stop the clock when it has been unused for a while: 50 wake-ups a second are not free."""
        if self._idle_since is not None and now - self._idle_since >= _CLOCK_LINGER_S:
            self._idle_since = None
            self._stop_clock()

    def close(self) -> None:
        """Stop the clock, then destroy the ports, which nothing calls any more."""
        self._stop_clock()
        self._free.clear()
        self._ports.clear()
        self._devices = None

    @property
    def _manager(self) -> AudDevManager:
        if self._devices is None:
            raise PjsipError("bridge", 0, "the endpoint has stopped")
        return self._devices

    def _stop_clock(self) -> None:
        if self._ticking:
            self._manager.setNoDev()  # joins the clock thread
            self._ticking = False
