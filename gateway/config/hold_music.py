"""Settings of hold music."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from gateway.config.fields import FilePath

__all__ = ["HoldMusicSettings"]


class HoldMusicSettings(BaseModel):
    """What a caller hears who is on hold or waits for the target of a transfer."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    source: FilePath | None = Field(
        default=None, description="A WAV file, or a folder of them, played in the order of their names. Default: tones."
    )
    volume_db: float = Field(default=0.0, ge=-40, le=12, description="How much louder (or softer) than the file.")
    fade_ms: int = Field(
        default=0, ge=0, le=5000, description="How long it takes to begin, and to give way to the agent's words."
    )
    words_every_s: int = Field(
        default=0,
        ge=0,
        le=600,
        description="How often the agent says its canned `transfer_waiting` to a caller of a warm transfer. 0: never.",
    )
