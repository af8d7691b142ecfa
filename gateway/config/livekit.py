"""Settings of LiveKit: its server, the rooms that calls are bridged into, and the worker with the agents."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from gateway.config.fields import HttpAddress, Secret, SocketAddress
from gateway.config.livekit_sip import LiveKitOutboundSettings

__all__ = ["LiveKitSettings", "LiveKitWorkerSettings"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class LiveKitWorkerSettings(_Section):
    """`trunkline worker`: the agents."""

    in_gateway: bool = Field(
        default=False, description="Run it in `trunkline serve`: one machine, one command, half the memory."
    )
    load_threshold: float = Field(
        default=0.7,
        gt=0,
        le=1,
        description="No job is accepted while more of the CPU is in use (2.5 s average). 1: no limit.",
    )
    idle_processes: int = Field(default=1, ge=0, le=64, description="Warm job processes waiting for a job.")
    jobs_per_process: int = Field(
        default=8,
        ge=1,
        le=64,
        description="Conversations per process. 1: one each, at 40 % more CPU and 70 % more memory.",
    )
    drain_s: float = Field(default=60.0, ge=0, description="How long jobs may continue after a request to stop.")
    http: HttpAddress = Field(
        default=SocketAddress("http", "127.0.0.1", 8081),
        description="Address of /healthz and /metrics. Port 0: any free one.",
    )
    memory_warn_mb: int = Field(default=300, ge=0, description="A job process that uses more is logged. 0: never.")
    memory_limit_mb: int = Field(
        default=0,
        ge=0,
        description="A job process that uses more is replaced; its jobs continue. 0: no limit.",
    )


class LiveKitSettings(_Section):
    """The LiveKit server whose rooms calls are bridged into; see docs/livekit.md."""

    url: str = Field(pattern=r"^wss?://[^\s/]+\S*$", description="URL of LiveKit server: ws:// or wss://.")
    public_url: str | None = Field(
        default=None,
        pattern=r"^wss?://[^\s/]+\S*$",
        description="URL for browsers, if different from `url`.",
    )
    api_key: Secret = Field(description="Where its API key is stored.")
    api_secret: Secret = Field(description="Where the secret of that key is stored.")
    agent_name: str = Field(
        default="trunkline",
        max_length=128,
        description="Agents registered under this name get the calls. Empty: agents that take any room.",
    )
    join_timeout_s: float = Field(
        default=5.0, gt=0, le=30, description="Longest time the phone rings while joining the room."
    )
    agent_timeout_s: float = Field(
        default=10.0, gt=0, le=120, description="How long an answered caller waits for an agent (hearing ringing)."
    )
    agent_return_s: float = Field(
        default=8.0, ge=0, le=120, description="How long a caller whose agent is gone waits for it or another one."
    )
    resume_s: float = Field(
        default=7.0, gt=0, le=120, description="The call ends politely if a lost connection takes longer to resume."
    )
    worker: LiveKitWorkerSettings = Field(default=LiveKitWorkerSettings(), description="`trunkline worker`.")
    outbound: tuple[LiveKitOutboundSettings, ...] = Field(
        default=(),
        description="Carriers of LiveKit SIP, for `trunkline livekit` and `POST /v1/calls`; see docs/livekit-sip.md.",
    )
