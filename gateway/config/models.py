"""All settings, as typed models. Each field has its description; docs/settings.md is generated from them."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from gateway.config.answering import AnsweringSettings
from gateway.config.capacity import calls_per_core
from gateway.config.fields import (
    FilePath,
    HttpAddress,
    PortRange,
    Ports,
    Secret,
    SecretMissing,
    SipListen,
    SocketAddress,
)
from gateway.config.hold_music import HoldMusicSettings
from gateway.config.livekit import LiveKitSettings
from gateway.config.outbound import OutboundSettings
from gateway.config.phones import PhonesSettings
from gateway.config.queues import MemberSettings, QueueSettings
from gateway.config.session import SessionSettings
from gateway.config.store import StoreSettings
from gateway.config.summary import SummarySettings
from gateway.config.tls import SipTlsSettings
from gateway.config.trunks import (
    TrunkSettings,
)
from gateway.config.webhooks import CallWebhookSettings, WebhookSettings, all_different

if TYPE_CHECKING:
    from agent.providers.registry import ProviderSettings as VendorSettings

__all__ = [
    "PROVIDERS",
    "CallSettings",
    "HoldMusicSettings",
    "HttpSettings",
    "LogSettings",
    "OpenAISettings",
    "ProviderSettings",
    "RtpSettings",
    "SandboxSettings",
    "SessionSettings",
    "Settings",
    "SipLimits",
    "SipSettings",
    "SpeechSettings",
    "SupervisionSettings",
    "provider_problem",
]

# Vendors, and what may follow a "/": names, anything ("*"), or nothing. As agent.providers.registry builds them.
PROVIDERS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "vad": {"silero": ()},
    "stt": {
        "moonshine": ("whisper",),
        "whisper": ("auto",),
        "pocketsphinx": ("grammar", "dictation"),
        "instant": ("turns",),
    },
    "llm": {"rules": (), "openai": ("*",), "instant": ()},
    "tts": {"hibari": ("*",), "espeak": ("*",), "instant": ()},
}
# A call in a LiveKit room whose agent runs on this machine too takes 7 % of a core before any recognition.
_CALLS_PER_CORE_WITH_AGENTS = 6.0
_CALLS_PER_WORKER = 4  # whatever its slots are: more of them only fill it further


def _ipv4(text: str) -> str:
    try:
        return str(IPv4Address(text))
    except ValueError:
        raise ValueError(f'"{text}" is not an IPv4 address') from None


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class SipLimits(_Section):
    """What one source address may send before it gets 503. A token bucket per limit."""

    invites_per_second: float = Field(
        default=30.0,
        gt=0,
        description="New calls per second from one address, on average. Answered "
        "calls ended by the caller no longer count.",
    )
    invite_burst: int = Field(default=60, ge=1, description="New calls from one address in a burst.")
    messages_per_second: float = Field(
        default=600.0, gt=0, description="SIP messages of any kind per second from one address, on average."
    )
    message_burst: int = Field(default=1200, ge=1, description="SIP messages of any kind from one address in a burst.")


class SipSettings(_Section):
    """The public SIP side."""

    listen: tuple[SipListen, ...] = Field(
        min_length=1, description="UDP, TCP and TLS addresses (`tls://0.0.0.0:5061`). Port 0: any free one."
    )
    tls: SipTlsSettings | None = Field(default=None, description="Required to listen for TLS.")
    public_address: str | None = Field(
        default=None,
        min_length=1,
        description="The address that phones are told to send to (Contact, SDP). "
        "Required with 0.0.0.0 or behind NAT; default: the first listen address.",
    )
    trunks: tuple[TrunkSettings, ...] = Field(min_length=1, description="Who may call us.")
    limits: SipLimits = Field(default=SipLimits(), description="Rate limits for each source address.")
    phones: PhonesSettings | None = Field(
        default=None, description="Phones that register with us ([phones.md](phones.md)). Not given: none may."
    )


class RtpSettings(_Section):
    """Audio."""

    address: Annotated[str, AfterValidator(_ipv4)] | None = Field(
        default=None, description="Local IPv4 address of the audio sockets. Default: all addresses."
    )
    ports: Ports = Field(
        default=PortRange(20000, 29999),
        description="UDP ports for audio, divided among the workers; two per call.",
    )


class HttpSettings(_Section):
    """REST API, dashboard, metrics."""

    listen: HttpAddress = Field(
        default=SocketAddress("http", "127.0.0.1", 8080), description="Address. Port 0: any free one."
    )
    api_keys: tuple[Secret, ...] = Field(
        default=(), description="Keys for the API. None: anyone may use it, which is only allowed on loopback."
    )
    require_key: bool = Field(
        default=False,
        description="Whether the API needs a key even if `api_keys` is empty: one made by `trunkline keys`.",
    )
    key_requests_per_second: float = Field(
        default=50, gt=0, le=10_000, description="Requests with one key; beyond that 429 is answered."
    )
    key_burst: int = Field(default=100, ge=1, le=100_000, description="The same, at once.")


def provider_problem(part: str, name: str) -> str:
    """Why no provider of this part ("llm", "tts", …) has that name; empty if one has."""
    vendor, slash, detail = name.partition("/")
    if vendor not in PROVIDERS[part]:
        return f'unknown {part} provider "{vendor}"; known are: {", ".join(PROVIDERS[part])}'
    details = PROVIDERS[part][vendor]
    if slash and (not detail or (detail not in details and "*" not in details)):
        choice = f"one of {', '.join(details)}" if details and "*" not in details else "nothing"
        return f'"{name}": "{vendor}" takes {"a name" if "*" in details else choice} after the slash'
    return ""


def _provider(part: str) -> BeforeValidator:
    def known(name: Any) -> Any:
        if isinstance(name, str) and (
            wrong := provider_problem(part, name)
        ):  # otherwise the field's type reports the error
            raise ValueError(wrong)
        return name

    return BeforeValidator(known)


Vad = Annotated[str, _provider("vad")]
Stt = Annotated[str, _provider("stt")]
Llm = Annotated[str, _provider("llm")]
Tts = Annotated[str, _provider("tts")]


class SpeechSettings(_Section):
    """The providers for recognition, model and synthesis. Lists are in order of preference, with fallbacks. After a
    slash: a mode (`pocketsphinx/dictation`), a voice (`espeak/en-gb`), a model (`openai/gpt-4o-mini`)."""

    vad: Vad | None = Field(
        default="silero", description="Voice activity detection; null: none, where nobody needs it to detect turns."
    )
    stt: tuple[Stt, ...] = Field(default=("moonshine", "pocketsphinx"), min_length=1, description="Speech to text.")
    llm: tuple[Llm, ...] = Field(default=("rules",), min_length=1, description="Language model.")
    tts: tuple[Tts, ...] = Field(default=("hibari", "espeak"), min_length=1, description="Text to speech.")

    def overridden(self, changes: Mapping[str, Any]) -> SpeechSettings:
        """With a route's changes, which have been validated by the dialplan. Lists may come as any sequence."""
        plain = {name: value if isinstance(value, str | None) else tuple(value) for name, value in changes.items()}
        return self.model_copy(update=plain)

    def names(self) -> set[str]:
        """Vendors in use, without models."""
        return {name.partition("/")[0] for name in (*self.stt, *self.llm, *self.tts, self.vad or "")} - {""}


class OpenAISettings(_Section):
    """OpenAI, or any compatible server."""

    base_url: str | None = Field(
        default=None, pattern=r"^https?://\S+$", description="URL of the API. Default: OpenAI itself."
    )
    api_key: Secret | None = Field(default=None, description="Where its key is stored. Local servers often need none.")
    model: str = Field(default="gpt-4o-mini", min_length=1, description="The model of `openai` without a slash.")
    timeout_s: float = Field(
        default=5.0, gt=0, le=60, description="A reply fails if its first or next chunk takes longer."
    )
    temperature: float | None = Field(
        default=None, ge=0, le=2, description="Sampling temperature. Default: the server's."
    )
    max_tokens: int = Field(default=0, ge=0, description="Longest reply in tokens. 0: the server's limit.")


class ProviderSettings(_Section):
    """Provider accounts. The offline providers need none."""

    openai: OpenAISettings | None = Field(
        default=None, description="Required if `openai` is among the speech providers."
    )


class SandboxSettings(_Section):
    """Access of call workers, and of the personas' tools in them, to this machine's files (Linux Landlock)."""

    enabled: bool = Field(
        default=True,
        description="Workers cannot run programs, and change files only in `recordings`, "
        "the folder for temporary files and "
        "`writable`.",
    )
    writable: tuple[FilePath, ...] = Field(
        default=(), description="Existing files and folders that tools of personas may change too."
    )


class SupervisionSettings(_Section):
    """Supervisors who listen in."""

    announce: Literal["none", "beep", "words"] = Field(
        default="none",
        description="What the caller hears when a supervisor begins to listen in: nothing, a short tone, or the "
        "agent's canned `supervisor` (a tone where the agent does not speak). Laws may require it.",
    )


class CallSettings(_Section):
    """Calls without incoming packets (as opposed to silence). A phone that suppresses silence
    counts as alive by its RTCP, its comfort noise, or because its SDP says so (a=silenceSupp:on, CN)."""

    media_alarm_s: float = Field(
        default=2.0, gt=0, description="No RTP for this long and no sign of silence suppression: a warning."
    )
    first_media_s: float = Field(
        default=60.0, gt=0, description="No sign of life within this time after answering: the call ends."
    )
    media_timeout_s: float = Field(
        default=60.0, gt=0, description="No sign of life (RTP or RTCP) for this long later: the call ends."
    )
    hold_music: HoldMusicSettings = Field(default=HoldMusicSettings(), description="Hold music.")
    supervision: SupervisionSettings = Field(default=SupervisionSettings(), description="Supervisors.")
    transfer_notes: bool = Field(
        default=False,
        description="Whether what a caller and the human of a warm transfer say to each other is recognised, for the "
        "transcript and the summary. In many countries both must have agreed to that.",
    )


class LogSettings(_Section):
    """What is written to standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Lowest level that is logged."
    )
    format: Literal["console", "json"] = Field(default="console", description="For people or for machines.")


def _workers(value: Any) -> Any:
    if value != "auto" and (not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 256):
        raise ValueError("must be auto or a whole number from 1 to 256")
    return value


class Settings(_Section):
    """All settings. Relative paths are relative to the program's current directory."""

    sip: SipSettings = Field(description="The public SIP side.")
    outbound: OutboundSettings = Field(default=OutboundSettings(), description="Calls that the gateway places.")
    answering: AnsweringSettings = Field(
        default=AnsweringSettings(), description="What is done about whoever answers calls that the gateway places."
    )
    rtp: RtpSettings = Field(default=RtpSettings(), description="Audio.")
    http: HttpSettings = Field(default=HttpSettings(), description="REST API, dashboard, metrics.")
    rooms: Literal["local", "livekit"] = Field(
        default="local",
        description="Where calls and agents are joined: in the call worker, or in a LiveKit server's rooms.",
    )
    livekit: LiveKitSettings | None = Field(
        default=None, description="Required if `rooms` is livekit, and for `trunkline worker`."
    )
    workers: Annotated[int | Literal["auto"], BeforeValidator(_workers)] = Field(
        default="auto",
        description="Call workers. auto: enough for the calls that the machine's cores hold with these speech "
        "providers: 12 per core, 4 with `whisper`, 6 with `livekit.worker.in_gateway`; limited by the RTP ports.",
    )
    slots_per_worker: int = Field(default=4, ge=1, le=32, description="Calls a worker; PJSIP as it is on PyPI takes 4.")
    store: StoreSettings = Field(default=StoreSettings(), description="Where call records go.")
    recordings: FilePath = Field(default=Path("var/recordings"), description="Folder for stereo recordings.")
    record_calls: bool = Field(
        default=True, description="Whether calls are recorded, unless the dialplan says otherwise."
    )
    dialplans: tuple[FilePath, ...] = Field(
        min_length=1, description="Files that say which number reaches which persona."
    )
    speech: SpeechSettings = Field(default=SpeechSettings(), description="Providers; a dialplan may override them.")
    providers: ProviderSettings = Field(default=ProviderSettings(), description="Provider accounts.")
    session: SessionSettings = Field(default=SessionSettings(), description="Options of a conversation.")
    summary: SummarySettings | None = Field(default=None, description="What is posted after a call; default: nothing.")
    webhooks: Annotated[tuple[WebhookSettings, ...], all_different] = Field(
        default=(), max_length=20, description="URLs that are told what happens, as it happens."
    )
    call_webhooks: CallWebhookSettings = Field(
        default=CallWebhookSettings(), description="Webhooks that come with single calls."
    )
    queues: tuple[QueueSettings, ...] = Field(default=(), max_length=500, description="Human queues.")
    queue_members: tuple[MemberSettings, ...] = Field(
        default=(), max_length=5000, description="The humans who take their callers; more may be added over REST."
    )
    calls: CallSettings = Field(default=CallSettings(), description="Calls without audio.")
    sandbox: SandboxSettings = Field(default=SandboxSettings(), description="Restrictions of call workers.")
    drain_s: float = Field(default=60.0, ge=0, description="How long calls may continue after a request to stop.")
    log: LogSettings = Field(default=LogSettings(), description="What is written to standard error.")

    @property
    def store_path(self) -> Path:
        """The SQLite file, or what the files beside PostgreSQL are named after."""
        return self.store.path

    @property
    def public_address(self) -> str:
        return self.sip.public_address or self.sip.listen[0].host

    @property
    def media_address(self) -> str:
        """The address that callers send their audio to."""
        return self.sip.public_address or self.rtp.address or self.public_address

    def worker_count(self, cores: int | None = None) -> int:
        """How many call workers to run on `cores` (None: this machine's)."""
        if self.workers != "auto":
            return self.workers
        with_agents = self.livekit is not None and self.livekit.worker.in_gateway
        calls = calls_per_core(self.speech.stt, self.speech.tts)
        calls = min(calls, _CALLS_PER_CORE_WITH_AGENTS) if with_agents else calls
        wanted = math.ceil(calls * (cores or os.cpu_count() or 1) / _CALLS_PER_WORKER)
        return max(1, min(wanted, self.rtp.ports.pairs // self.slots_per_worker, 256))

    def provider(self, name: str) -> tuple[str, VendorSettings]:
        """A speech provider's full name and what its vendor needs, for `agent.providers.registry`."""
        from agent.providers.registry import ProviderSettings as VendorSettings

        openai = self.providers.openai
        if openai is None or name.partition("/")[0] != "openai":
            return name, VendorSettings()
        key = openai.api_key
        return name if "/" in name else f"openai/{openai.model}", VendorSettings(
            base_url=openai.base_url or "",
            key_file=Path(key.file) if key and key.file else None,
            key_env=(key.env or "") if key else "",
            timeout_s=openai.timeout_s,
            temperature=openai.temperature,
            max_tokens=openai.max_tokens,
        )

    def missing_secrets(self) -> list[str]:
        """Missing files and secrets, as sentences; empty if the gateway can start."""
        missing: list[str] = []
        openai, livekit = self.providers.openai, self.livekit
        secrets = [*self.http.api_keys, *((openai.api_key,) if openai and openai.api_key else ())]
        secrets += [webhook.secret for webhook in self.webhooks if webhook.secret]
        secrets += [self.store.password] if self.store.password else []
        secrets += [self.summary.secret] if self.summary and self.summary.secret else []
        for trunk in self.sip.trunks:
            secrets += [trunk.account.password] if trunk.account else []
            secrets += [user.password for user in trunk.callers.users] if trunk.callers else []
        secrets += [member.pin for member in self.queue_members if member.pin]
        secrets += [livekit.api_key, livekit.api_secret] if livekit else []
        secrets += [each.auth_password for each in livekit.outbound if each.auth_password] if livekit else []
        for secret in secrets:
            try:
                secret.read()
            except SecretMissing as error:
                missing.append(str(error))
        missing += [problem] if (problem := self.answering.problem()) else []
        return missing
