"""The catalogue of events: trunks, and phones that are registered with us."""

from __future__ import annotations

from pydantic import Field

from gateway.events.data import EventData, EventType

__all__ = [
    "PhoneEvent",
    "PhoneReachable",
    "PhoneRegistered",
    "PhoneUnreachable",
    "PhoneUnregistered",
    "TrunkDown",
    "TrunkEvent",
    "TrunkRefused",
    "TrunkRegistered",
    "TrunkRegistrationFailed",
    "TrunkUnregistered",
    "TrunkUp",
]

_CARRIER = {"trunk": "carrier"}
_DEVICE = {"phone": "anna", "source": "udp:192.0.2.7:5060"}


class TrunkEvent(EventData):
    trunk: str = Field(description="The trunk's name in the settings.")
    detail: str = Field(description="In words.")
    host: str | None = Field(default=None, description="Which of its hosts, as in `udp:192.0.2.7:5060`; null: all.")


class TrunkRegistered(TrunkEvent):
    """The registrar has accepted our registration, for the first time or again after it was lost."""

    type = EventType.TRUNK_REGISTERED
    example = _CARRIER | {"detail": "registered", "host": None}


class TrunkRegistrationFailed(TrunkEvent):
    """A registration attempt has failed."""

    type = EventType.TRUNK_REGISTRATION_FAILED
    example = _CARRIER | {"detail": "403 Forbidden", "host": None}


class TrunkUnregistered(TrunkEvent):
    """The registration is over, as the gateway stops."""

    type = EventType.TRUNK_UNREGISTERED
    example = _CARRIER | {"detail": "not registered", "host": None}


class TrunkUp(TrunkEvent):
    """A host answers OPTIONS again, with the thresholds of `probe`."""

    type = EventType.TRUNK_UP
    example = _CARRIER | {"detail": "host 192.0.2.7:5060 is up", "host": "udp:192.0.2.7:5060"}


class TrunkDown(TrunkEvent):
    """A host no longer answers OPTIONS."""

    type = EventType.TRUNK_DOWN
    example = _CARRIER | {"detail": "host 192.0.2.7:5060 is down", "host": "udp:192.0.2.7:5060"}


class TrunkRefused(TrunkEvent):
    """A host did not take a call that we placed: an error, or no answer. `detail` begins with the SIP status."""

    type = EventType.TRUNK_REFUSED
    example = _CARRIER | {"detail": "503 Service Unavailable", "host": "udp:192.0.2.7:5060"}


class PhoneEvent(EventData):
    phone: str = Field(description="The phone's name in the settings.")
    source: str = Field(description="Where the device is reached, as in `udp:192.0.2.7:5060`.")
    detail: str = Field(description="In words.")


class PhoneRegistered(PhoneEvent):
    """A device of a phone has registered with us."""

    type = EventType.PHONE_REGISTERED
    example = _DEVICE | {"detail": "registered"}


class PhoneUnregistered(PhoneEvent):
    """A device's registration is over: by its own wish, or it has expired, or its connection was closed."""

    type = EventType.PHONE_UNREGISTERED
    example = _DEVICE | {"detail": "expired"}


class PhoneUnreachable(PhoneEvent):
    """A device no longer answers, and is not called."""

    type = EventType.PHONE_UNREACHABLE
    example = _DEVICE | {"detail": "no answer"}


class PhoneReachable(PhoneEvent):
    """A device that was unreachable answers again."""

    type = EventType.PHONE_REACHABLE
    example = _DEVICE | {"detail": "answers again"}
