"""The public SIP side: a stateless proxy with Record-Route, admission, and a table of live dialogs (docs/edge.md)."""

from telephony.edge.counters import EdgeCounters
from telephony.edge.dialogs import DialogInfo, DialogState
from telephony.edge.edge import Edge
from telephony.edge.protocol import (
    Admitter,
    Flood,
    Forward,
    GatewayStatus,
    InviteInfo,
    Refuse,
    RefusedInvite,
    Source,
    WorkerAddress,
)
from telephony.edge.settings import EdgeLimits, EdgeSettings, ListenAddress, Trunk

__all__ = [
    "Admitter",
    "DialogInfo",
    "DialogState",
    "Edge",
    "EdgeCounters",
    "EdgeLimits",
    "EdgeSettings",
    "Flood",
    "Forward",
    "GatewayStatus",
    "InviteInfo",
    "ListenAddress",
    "Refuse",
    "RefusedInvite",
    "Source",
    "Trunk",
    "WorkerAddress",
]
