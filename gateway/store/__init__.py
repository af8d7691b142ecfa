"""Call records in a database: tables and migrations, queries, and the writer that keeps both off the calls' path."""

from gateway.store.calls import CallStore
from gateway.store.errors import BadCursor, SchemaTooNew, StoreError, StoreUnavailable
from gateway.store.lock import StoreInUse, StoreLock
from gateway.store.queries import CallFilters, CallPage
from gateway.store.writer import FakeSink, RecordSink, RecordWriter, WriterState

__all__ = [
    "BadCursor",
    "CallFilters",
    "CallPage",
    "CallStore",
    "FakeSink",
    "RecordSink",
    "RecordWriter",
    "SchemaTooNew",
    "StoreError",
    "StoreInUse",
    "StoreLock",
    "StoreUnavailable",
    "WriterState",
]
