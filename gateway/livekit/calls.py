"""What a call worker shares among all its calls in LiveKit rooms."""

from __future__ import annotations

from importlib import import_module

from agent.clock import ThreadOffload
from agent.providers.espeak import EspeakTTS
from agent.warm.memory import map_library
from gateway.calls.conversation import CallSide
from gateway.config import LiveKitSettings, SessionSettings
from gateway.control import Prepare
from gateway.livekit.canned import CannedSpeech
from gateway.livekit.conversation import LiveKitConversation

__all__ = ["LiveKitCalls", "preload_livekit"]

# Imported before the fork and shared; the native runtime starts its threads after it.
_EARLY = (
    "numpy",
    "soxr",
    "telephony.livekit.rtc_connection",
    "livekit.api",
    "livekit.protocol.agent_dispatch",
    "livekit.protocol.room",
    "telephony.media.recording_writer",
    "zoneinfo",
)


def preload_livekit() -> None:
    """In the warm parent, before any fork."""
    for name in _EARLY:
        import_module(name)
    map_library("livekit.rtc.resources", "liblivekit_ffi.so")


class LiveKitCalls:
    def __init__(self, settings: LiveKitSettings, session: SessionSettings) -> None:
        """In the worker, after the fork."""
        from telephony.livekit.rtc_connection import load

        load()
        self._settings = settings
        self._session = session
        self._canned = CannedSpeech(EspeakTTS(ThreadOffload()))

    def conversation(self, prepared: Prepare, side: CallSide) -> LiveKitConversation:
        """It never hangs up by itself."""
        max_hold_s = self._session.overridden(prepared.session).max_hold_s
        return LiveKitConversation(side, prepared, self._settings, self._canned, max_hold_s=max_hold_s)
