"""Call records in a database: tables and migrations, queries, and the writer that keeps both off the calls' path."""

from gateway.store.calls import CallStore
from gateway.store.database import shorten_thread_turns
from gateway.store.errors import BadCursor, SchemaTooNew, StoreDamaged, StoreError, StoreInUse, StoreUnavailable
from gateway.store.lock import StoreLock
from gateway.store.opening import open_store
from gateway.store.queries import CallFilters, CallPage
from gateway.store.retention import Kept, OldCall, Selection
from gateway.store.spill import Spill
from gateway.store.spilling import recover
from gateway.store.writer import FakeSink, RecordSink, RecordWriter, WriterState

__all__ = [
    "BadCursor",
    "CallFilters",
    "CallPage",
    "CallStore",
    "FakeSink",
    "Kept",
    "OldCall",
    "RecordSink",
    "RecordWriter",
    "SchemaTooNew",
    "Selection",
    "Spill",
    "StoreDamaged",
    "StoreError",
    "StoreInUse",
    "StoreLock",
    "StoreUnavailable",
    "WriterState",
    "open_store",
    "recover",
    "shorten_thread_turns",
]
