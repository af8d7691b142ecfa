"""What a call worker shares among all its calls in LiveKit rooms."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module

from agent.clock import ThreadOffload
from agent.providers.espeak import EspeakTTS
from agent.providers.registry import build_vad
from agent.warm.memory import map_library
from gateway.calls.conversation import CallSide, ConversationMaker
from gateway.calls.dialling import LegPlan
from gateway.config import LiveKitSettings, SessionSettings
from gateway.control import Prepare
from gateway.livekit.canned import CannedSpeech
from gateway.livekit.conversation import LiveKitConversation
from gateway.livekit.room_endings import RoomEndings
from gateway.livekit.room_joins import keeper_identity
from gateway.livekit.room_plan import access_of, caller_identity
from gateway.livekit.sip_conversation import SipConversation
from gateway.livekit.sip_leg import LiveKitSipLeg
from gateway.livekit.target_ears import TargetEars
from telephony.livekit.access import LiveKitAccess, call_room_name
from telephony.livekit.api import whose_silence
from telephony.livekit.room import LiveKitRoom
from telephony.livekit.trunk.dialing import LiveKitSipTrunk
from telephony.livekit.trunk.livekit_sip_api import LiveKitSipApi
from telephony.livekit.verbs import CALL_ATTRIBUTE, KEEPER_ATTRIBUTE

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
    def __init__(self, settings: LiveKitSettings, session: SessionSettings, vad: str | None = None) -> None:
        """In the worker, after the fork. `vad`: for whoever answers a further leg; None: nobody listens."""
        from telephony.livekit.rtc_connection import load

        load()
        self._settings = settings
        self._session = session
        self._canned = CannedSpeech(EspeakTTS(ThreadOffload()))
        self._ears = TargetEars(None if vad is None else partial(build_vad, vad))
        self._sip: _LiveKitSip | None = None  # with the first call that it dials

    def conversation(self, prepared: Prepare, side: CallSide) -> LiveKitConversation:
        """It never hangs up by itself."""
        max_hold_s = self._session.overridden(prepared.session).max_hold_s
        return LiveKitConversation(side, prepared, self._settings, self._canned, max_hold_s=max_hold_s, ears=self._ears)

    def dialled(self, prepared: Prepare, plan: LegPlan) -> tuple[LiveKitSipLeg, ConversationMaker]:
        """A call over a carrier of LiveKit SIP: its leg, and what makes its conversation. Raises SecretMissing."""
        sip = self._sip = self._sip or _LiveKitSip(access_of(self._settings))
        made: list[SipConversation] = []

        def conversation(side: CallSide) -> SipConversation:
            made.append(SipConversation(side, prepared, self._settings, self._canned))
            return made[0]

        return sip.leg(plan, lambda: made[0].joined), conversation


class _LiveKitSip:
    """Of one process."""

    def __init__(self, access: LiveKitAccess) -> None:
        self._access = access
        self._api = LiveKitSipApi(access)
        self._endings = RoomEndings(access)
        self._carriers: dict[str, LiveKitSipTrunk] = {}

    def leg(self, plan: LegPlan, room: Callable[[], LiveKitRoom]) -> LiveKitSipLeg:
        info = plan.info
        carrier = self._carriers.setdefault(plan.carrier, LiveKitSipTrunk(self._api, plan.carrier))
        phone, keeper = caller_identity(info), keeper_identity(info.call_id)
        dial = partial(
            carrier.call,
            info.called,
            call_room_name(info.call_id),
            phone,
            caller=info.caller or "",
            ringing_timeout_s=plan.ring_limit_s,
            attributes={CALL_ATTRIBUTE: info.call_id, KEEPER_ATTRIBUTE: keeper},
        )
        whose = partial(whose_silence, self._access)
        return LiveKitSipLeg(info, phone, room, dial, self._api, whose, self._endings.end)
