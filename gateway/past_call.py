"""A past call, for commands: its record and its recording's channels, from the gateway or its files."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from gateway.rest_client import RestClient
from telephony.media.wav import read_channels

__all__ = ["PastCall", "from_rest", "from_store"]


@dataclass(frozen=True, slots=True)
class PastCall:
    """`record`: a `CallDetail` as JSON. `channels`: caller and everyone else, 8 kHz 16-bit; empty: no recording."""

    record: dict[str, Any]
    channels: tuple[bytes, ...]

    def caller(self) -> bytes:
        """The caller's channel. Raises ValueError if nothing was recorded."""
        if not self.channels:
            raise ValueError(f"call {self.record['call_id']} has no recording")
        return self.channels[0]


def from_rest(call_id: str, url: str, key: str | None) -> PastCall:
    """Raises RestError, OSError, ValueError, BadWavFile."""
    client = RestClient(url, key)
    record = client.call(call_id)
    if not (record.get("recording") or {}).get("path"):
        return PastCall(record, ())
    with NamedTemporaryFile(suffix=".wav") as file:
        file.write(client.recording(call_id))
        file.flush()
        return PastCall(record, tuple(read_channels(Path(file.name))))


def from_store(call_id: str, config: str) -> PastCall:
    """From the store and the recordings that a settings file names. Raises ConfigError, StoreError, OSError,
    ValueError, BadWavFile."""
    from pydantic import TypeAdapter

    from gateway.config import load_settings
    from gateway.record import CallDetail
    from gateway.store import open_store

    settings = load_settings(config)

    async def read() -> CallDetail | None:
        store = await open_store(settings)
        try:
            return await store.get_call(call_id)
        finally:
            await store.close()

    detail = asyncio.run(read())
    if detail is None:
        raise ValueError(f"no call {call_id} in {settings.store}")
    record: dict[str, Any] = TypeAdapter(CallDetail).dump_python(detail, mode="json")
    if detail.recording is None or not detail.recording.path:
        return PastCall(record, ())
    return PastCall(record, tuple(read_channels(settings.recordings / detail.recording.path)))
