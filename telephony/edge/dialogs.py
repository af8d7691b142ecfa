"""The live dialogs: data for in-dialog routing, and for ending a call on behalf of a worker.

Every look-up is by key; expiry is a heap with one live entry a dialog, so no message costs a walk over all dialogs.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from telephony.edge.dialog_states import LIVE, DialogEvent, DialogState, Party, next_state
from telephony.edge.hops import Hop
from telephony.edge.protocol import InviteInfo, Source, WorkerAddress
from telephony.sip.digest import DigestClient
from telephony.sip.headers import Headers
from telephony.sip.offer import ALONE, Streams
from telephony.sip.parse import Line, Request, Via
from telephony.sip.replaces import Replaces
from telephony.sip.session_timer import SessionTimer
from telephony.sip.srtp import uses_savp

__all__ = [
    "Dialog",
    "DialogEvent",
    "DialogInfo",
    "DialogState",
    "DialogTable",
    "Party",
    "PublicParty",
    "Referral",
    "Reply",
    "ShownToWorker",
    "WorkerParty",
]


_NUMBERS_KEPT = 16


@dataclass(frozen=True, slots=True)
class DialogInfo:
    """One live dialog, for metrics and pages."""

    leg_id: str
    sip_call_id: str
    worker: str
    trunk: str
    source: Source
    state: DialogState
    since: float  # seconds, loop clock: start of the dialog


@dataclass(frozen=True, slots=True)
class Reply:
    """What is needed to answer a request later."""

    lines: Sequence[Line]
    via: Via
    received_from: tuple[str, int]
    hop: Hop


@dataclass(frozen=True, slots=True)
class ShownToWorker:
    """The parties' names towards the worker, none of them written by the public side."""

    public: str  # From or To value, with the tag
    public_tag: str
    worker: str  # To or From value, without a tag
    uri: str  # Request-URI of the INVITE


@dataclass(slots=True)
class PublicParty:
    """The phone, or its proxy."""

    tag: str
    address: str  # From or To value, with its tag
    contact: str  # URI
    hop: Hop  # where its last request came from
    cseq: int = 0
    routes: tuple[str, ...] = ()  # Record-Route of the proxies beyond us
    cseq_shift: int = 0  # how much higher the worker sees its CSeq: it has taken the place of another phone


@dataclass(slots=True)
class WorkerParty:
    at: WorkerAddress
    call_id: str  # Call-ID that it knows
    name: str  # To or From value that the public side knows it by, without its tag
    tag: str = ""
    contact: str = ""  # URI
    cseq: int = 0  # as the public side knows it
    cseq_shift: int = 0  # how many requests unknown to it have been sent to the public side
    numbers: dict[int, int] = field(default_factory=dict)  # CSeq of its last requests -> as the public side knows it
    known_as: str = ""  # the tag that the public side knows, if it is not its own

    def number(self, cseq: int) -> int:
        """The CSeq by which the public side knows its request: the same for its retransmissions and its ACK."""
        if cseq not in self.numbers:
            self.numbers[cseq] = cseq + self.cseq_shift
            if len(self.numbers) > _NUMBERS_KEPT:
                del self.numbers[next(iter(self.numbers))]
        return self.numbers[cseq]

    def renumber(self, cseq: int) -> int:
        """It is sent again, as a new request."""
        self.cseq_shift += 1
        self.numbers.pop(cseq, None)
        return self.number(cseq)

    def take_number(self) -> int:
        """For one of the edge's own requests in the dialog."""
        self.cseq += 1
        self.cseq_shift += 1
        return self.cseq

    @property
    def address(self) -> str:
        """With its tag, once it has answered with one."""
        return f"{self.name};tag={self.public_tag}" if self.public_tag else self.name

    @property
    def public_tag(self) -> str:
        return self.known_as or self.tag


@dataclass(slots=True)
class Referral:
    """A REFER of ours, and the subscription that it made (RFC 3515)."""

    target: str  # URI
    branch: str = ""  # of the last REFER: only its answer counts
    digest: DigestClient | None = None
    challenges: int = 0
    waits: bool = True  # for the REFER's final answer


@dataclass(slots=True)
class Dialog:
    leg_id: str  # ours
    sip_call_id: str  # Call-ID that the public side knows
    public: PublicParty
    worker: WorkerParty
    trunk: str
    invite_cseq: int
    branch: str  # ours, on the INVITE towards the worker
    created_at: float
    expires_at: float
    invite: Reply | None  # until the INVITE has a final answer
    shown: ShownToWorker
    info: InviteInfo
    initiator: Party = Party.PUBLIC
    called_uri: str = ""  # of a call that a worker places: Request-URI of its INVITE
    sips: bool = False  # it was called by a `sips:` URI
    savp: bool = False  # the public side's last description was of RTP/SAVP
    streams: Streams = ALONE  # the refused streams around the worker's one
    state: DialogState = DialogState.INVITING
    ended_by_worker: bool = False  # in ENDING: the BYE was the worker's
    told: bool = field(default=False)  # its end has been reported
    referral: Referral | None = None  # our latest REFER in it
    replaced: bool = False  # another phone is to take the public side's place, or has
    pickup: tuple[Request, Hop] | None = None  # the INVITE that took it while it rang, until the worker's ACK
    timer: SessionTimer | None = None  # of its session (RFC 4028)
    refresh_by: str = "INVITE"  # or UPDATE, where the peer takes that
    refreshing: bool = False  # by a re-INVITE of the edge's own, which has no answer yet
    seen: bytes = b""  # the public side's last session description, as the worker has it
    described: bytes = b""  # our last session description, as the public side has it
    answered: dict[tuple[int, str], bytes] = field(default_factory=dict)  # by us: CSeq and branch -> the answer

    @property
    def live(self) -> bool:
        return self.state in LIVE

    def learn_methods(self, headers: Headers) -> None:
        """The peer says what it takes."""
        if "allow" in headers:
            self.refresh_by = "UPDATE" if "UPDATE" in headers.get("allow") else "INVITE"

    def describe(self, body: bytes) -> None:
        """The worker is shown this description of the public side; an empty one is none."""
        if body:
            self.savp, self.seen = uses_savp(body), body

    def happened(self, event: DialogEvent) -> None:
        """Raises TelephonyMisuse when that is not possible now."""
        self.state = next_state(self.state, event)


class DialogTable:
    def __init__(self) -> None:
        self._dialogs: dict[tuple[str, str], Dialog] = {}
        self._by_leg: dict[str, Dialog] = {}
        self._by_worker_call: dict[str, Dialog] = {}
        self._by_worker: dict[str, dict[tuple[str, str], Dialog]] = {}
        self._heap: list[tuple[float, int, Dialog]] = []
        self._count = 0

    def __len__(self) -> int:
        return len(self._dialogs)

    def find(self, sip_call_id: str, public_tag: str) -> Dialog | None:
        return self._dialogs.get((sip_call_id, public_tag))

    def named_by(self, replaces: Replaces) -> Dialog | None:
        """The dialog that a peer names so (RFC 3891 section 3): its to-tag is ours."""
        dialog = self.find(replaces.call_id, replaces.from_tag)
        return dialog if dialog is not None and dialog.worker.public_tag == replaces.to_tag else None

    def of_leg(self, leg_id: str) -> Dialog | None:
        return self._by_leg.get(leg_id)

    def of_worker_call(self, worker_call_id: str) -> Dialog | None:
        """By the Call-ID that its worker knows."""
        return self._by_worker_call.get(worker_call_id)

    def rename(self, dialog: Dialog, tag: str) -> None:
        """The public side has got a tag, or a different one."""
        old, key = (dialog.sip_call_id, dialog.public.tag), (dialog.sip_call_id, tag)
        if self._dialogs.get(old) is not dialog or key in self._dialogs:
            return
        of_worker = self._by_worker[dialog.worker.at.name]
        for table in (self._dialogs, of_worker):
            del table[old]
            table[key] = dialog
        dialog.public.tag = tag

    def inviting(self) -> list[Dialog]:
        """Workers' dialogs without a final answer yet."""
        found = self._dialogs.values()
        return [d for d in found if d.state is DialogState.INVITING and d.initiator is Party.WORKER]

    def of_worker(self, name: str) -> list[Dialog]:
        return list(self._by_worker.get(name, {}).values())

    def uses(self, connection: int) -> bool:
        """Whether a live dialog's caller is on this TCP connection. Scans all dialogs: call it rarely."""
        return any(dialog.live and dialog.public.hop.connection == connection for dialog in self._dialogs.values())

    def add(self, dialog: Dialog) -> None:
        """Replaces a dead dialog of the same key."""
        key = (dialog.sip_call_id, dialog.public.tag)
        if (old := self._dialogs.get(key)) is not None:
            self.remove(old)
        self._dialogs[key] = dialog
        self._by_leg[dialog.leg_id] = dialog
        self._by_worker_call[dialog.worker.call_id] = dialog
        self._by_worker.setdefault(dialog.worker.at.name, {})[key] = dialog
        self._push(dialog)

    def remove(self, dialog: Dialog) -> None:
        key = (dialog.sip_call_id, dialog.public.tag)
        if self._dialogs.get(key) is not dialog:
            return
        del self._dialogs[key]
        if self._by_leg.get(dialog.leg_id) is dialog:
            del self._by_leg[dialog.leg_id]
        if self._by_worker_call.get(dialog.worker.call_id) is dialog:
            del self._by_worker_call[dialog.worker.call_id]
        of_worker = self._by_worker[dialog.worker.at.name]
        of_worker.pop(key, None)
        if not of_worker:
            del self._by_worker[dialog.worker.at.name]

    def expire_at(self, dialog: Dialog, at: float) -> None:
        """A later time is noticed when the old one comes up; only an earlier one needs an entry of its own."""
        earlier = at < dialog.expires_at
        dialog.expires_at = at
        if earlier:
            self._push(dialog)

    def expired(self, now: float) -> Iterator[Dialog]:
        """Dialogs that have expired. Remove each, or give it a new time, before asking for the next."""
        while self._heap and self._heap[0][0] <= now:
            _, _, dialog = heapq.heappop(self._heap)
            if self._dialogs.get((dialog.sip_call_id, dialog.public.tag)) is not dialog:
                continue
            if dialog.expires_at > now:
                self._push(dialog)
                continue
            yield dialog
            if self._dialogs.get((dialog.sip_call_id, dialog.public.tag)) is dialog:
                self._push(dialog)

    def _push(self, dialog: Dialog) -> None:
        self._count += 1
        heapq.heappush(self._heap, (dialog.expires_at, self._count, dialog))

    def live(self) -> tuple[DialogInfo, ...]:
        return tuple(
            DialogInfo(
                dialog.leg_id,
                dialog.sip_call_id,
                dialog.worker.at.name,
                dialog.trunk,
                Source(dialog.public.hop.ip, dialog.public.hop.port, dialog.public.hop.transport),
                dialog.state,
                dialog.created_at,
            )
            for dialog in self._dialogs.values()
            if dialog.live
        )
