"""One call record per attempt: its model, the messages that build it, and the transcript built from its events. Pure.

A worker sends `CallOpened`, any number of `CallEvents`, then `CallClosed`; also `LegOpened` and `LegClosed` for
each leg, and `TransferBegan` and `TransferEnded` for each transfer. The gateway itself makes `WorkerLost`, `LegMoved`
when a leg goes over another trunk, and, for attempts that never reached a worker, a whole `CallRecord`
(`refused_record`). Times of day are aware UTC; `…_ms` on the call's axis is milliseconds since the answer, which is
where the recording begins.
"""

from gateway.record.answering import AnsweringRecord, CorrectedVerdict, MessageRecord
from gateway.record.legs import LegRecord, MediaAlarm, Outcome, TransferKind, TransferRecord, call_id_of, leg_id_of
from gateway.record.messages import (
    CallClosed,
    CallEvents,
    CallOpened,
    LegClosed,
    LegMoved,
    LegOpened,
    RecordMessage,
    TransferBegan,
    TransferEnded,
    WireMessage,
    WorkerLost,
    closed_part,
    event_on_axis,
    message_from_dict,
    opened_part,
    record_of_opened,
    refused_record,
)
from gateway.record.model import (
    LIVEKIT_WORKER,
    CallDetail,
    CallRecord,
    Latency,
    Recording,
    Tokens,
    ToolUse,
    Turn,
    duration_between,
)

__all__ = [
    "LIVEKIT_WORKER",
    "AnsweringRecord",
    "CallClosed",
    "CallDetail",
    "CallEvents",
    "CallOpened",
    "CallRecord",
    "CorrectedVerdict",
    "Latency",
    "LegClosed",
    "LegMoved",
    "LegOpened",
    "LegRecord",
    "MediaAlarm",
    "MessageRecord",
    "Outcome",
    "RecordMessage",
    "Recording",
    "Tokens",
    "ToolUse",
    "TransferBegan",
    "TransferEnded",
    "TransferKind",
    "TransferRecord",
    "Turn",
    "WireMessage",
    "WorkerLost",
    "call_id_of",
    "closed_part",
    "duration_between",
    "event_on_axis",
    "leg_id_of",
    "message_from_dict",
    "opened_part",
    "record_of_opened",
    "refused_record",
]
