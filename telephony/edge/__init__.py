"""The public SIP side: admission, dialogs, and rewriting of every message to a worker (docs/edge.md)."""

from telephony.edge.certificates import CertificateExpiry, expiry_of
from telephony.edge.counters import EdgeCounters
from telephony.edge.dialogs import DialogInfo, DialogState
from telephony.edge.edge import Edge
from telephony.edge.hops import (
    CallerGone,
    DialAttempted,
    DialogEnded,
    DigitPressed,
    KeyAnswered,
    ReferAnswered,
    ReferNotified,
    TrunkChanged,
)
from telephony.edge.protocol import (
    FAIL_OVER_ON,
    Admitter,
    Dial,
    Flood,
    Forward,
    GatewayStatus,
    InviteInfo,
    Later,
    Refuse,
    RefusedInvite,
    Source,
    WorkerAddress,
)
from telephony.edge.settings import (
    EdgeLimits,
    EdgeSettings,
    EdgeTimers,
    ListenAddress,
    Registrar,
    TlsIdentity,
    TlsServer,
    Trunk,
    TrunkTls,
)
from telephony.edge.tls import TlsFilesError, client_context, server_context
from telephony.edge.trunk_status import PlaceStatus, Refusal, TlsFailure, TrunkStatus

__all__ = [
    "FAIL_OVER_ON",
    "Admitter",
    "CallerGone",
    "CertificateExpiry",
    "Dial",
    "DialAttempted",
    "DialogEnded",
    "DialogInfo",
    "DialogState",
    "DigitPressed",
    "Edge",
    "EdgeCounters",
    "EdgeLimits",
    "EdgeSettings",
    "EdgeTimers",
    "Flood",
    "Forward",
    "GatewayStatus",
    "InviteInfo",
    "KeyAnswered",
    "Later",
    "ListenAddress",
    "PlaceStatus",
    "ReferAnswered",
    "ReferNotified",
    "Refusal",
    "Refuse",
    "RefusedInvite",
    "Registrar",
    "Source",
    "TlsFailure",
    "TlsFilesError",
    "TlsIdentity",
    "TlsServer",
    "Trunk",
    "TrunkChanged",
    "TrunkStatus",
    "TrunkTls",
    "WorkerAddress",
    "client_context",
    "expiry_of",
    "server_context",
]
