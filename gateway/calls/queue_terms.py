"""What a call and the gateway's queues say to each other: the bodies of `QUEUE`, which a worker asks, and of `QUEUED`,
which the gateway asks of the call's worker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from gateway.config import HoldMusicSettings, QueueSettings

__all__ = ["QUEUE", "QUEUED", "MemberToRing", "QueueTerms", "RingMembers", "terms_of"]

QUEUE = "queue"  # body {call_id, verb, …}; verbs: join, leave, offer_over, callback, sign
QUEUED = "queued"  # body {call_id, do, …}; do: offer, withdraw, announce, let_go, moved


@dataclass(frozen=True, slots=True)
class QueueTerms:
    """What a worker needs of a queue's settings. `messages`: (text, file), one of them empty. `announce_most_wait_s`: a
    longer estimate is not told."""

    name: str
    music: Mapping[str, Any] | None = None
    detect: bool = True
    accept: bool = False
    accept_s: float = 15.0
    after: str = "end"
    agent_helps: bool = False
    leave_by_key: Mapping[str, str] = field(default_factory=dict)
    leave_by_words: Mapping[str, str] = field(default_factory=dict)
    messages: tuple[tuple[str, str], ...] = ()
    messages_every_s: float = 60.0
    announce_most_wait_s: float = 1800.0

    @property
    def hold_music(self) -> HoldMusicSettings | None:
        """None: the calls' own."""
        if self.music is None:
            return None
        source = str(self.music["source"])
        return HoldMusicSettings.model_construct(**{**self.music, "source": Path(source) if source else None})

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, body: Mapping[str, Any]) -> Self:
        """Raises KeyError, TypeError, ValueError."""
        return cls(**{**body, "messages": tuple((str(text), str(file)) for text, file in body["messages"])})


def terms_of(queue: QueueSettings) -> QueueTerms:
    music = None
    if queue.hold_music is not None:
        source = queue.hold_music.source
        # A worker's current directory is the gateway's, but need not stay so.
        music = queue.hold_music.model_dump() | {"source": "" if source is None else str(source.resolve())}
    return QueueTerms(
        queue.name, music, queue.detect, queue.accept, queue.accept_s, queue.after, queue.agent_helps,
        dict(queue.leave_by_key), dict(queue.leave_by_words),
        tuple((each.text or "", "" if each.file is None else str(each.file.resolve())) for each in queue.messages),
        queue.messages_every_s, queue.announce_most_wait_s,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class MemberToRing:
    name: str
    target: str


@dataclass(frozen=True, slots=True)
class RingMembers:
    """All at once; the first to accept has the caller."""

    members: tuple[MemberToRing, ...]
    ring_s: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, body: Mapping[str, Any]) -> Self:
        """Raises KeyError, TypeError, ValueError."""
        listed: Sequence[Mapping[str, Any]] = body["members"]
        members = tuple(MemberToRing(str(each["name"]), str(each["target"])) for each in listed)
        return cls(members, float(body["ring_s"]))
