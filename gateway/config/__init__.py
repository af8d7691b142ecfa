"""Settings: one YAML file, typed; every error names its line. Nothing else reads files or the environment.

Relative paths (store, recordings, dialplans, secret files) are relative to the program's current directory, not to
the settings file. `python -m gateway.config` writes docs/settings.md.
"""

from __future__ import annotations

from pathlib import Path

from gateway.config.checks import contradictions
from gateway.config.fields import IPNetwork, PortRange, Secret, SecretMissing, SocketAddress
from gateway.config.livekit import LiveKitSettings, LiveKitWorkerSettings
from gateway.config.livekit_sip import LiveKitOutboundSettings
from gateway.config.located_yaml import ConfigError, Problem, read_yaml
from gateway.config.messages import validate_model
from gateway.config.models import (
    PROVIDERS,
    CallSettings,
    HoldMusicSettings,
    HttpSettings,
    LogSettings,
    OpenAISettings,
    ProviderSettings,
    RtpSettings,
    SessionSettings,
    Settings,
    SipLimits,
    SipSettings,
    SpeechSettings,
)
from gateway.config.queues import MemberSettings, QueueSettings
from gateway.config.trunks import TrunkOutboundSettings, TrunkSettings

__all__ = [
    "PROVIDERS",
    "CallSettings",
    "ConfigError",
    "HoldMusicSettings",
    "HttpSettings",
    "IPNetwork",
    "LiveKitOutboundSettings",
    "LiveKitSettings",
    "LiveKitWorkerSettings",
    "LogSettings",
    "MemberSettings",
    "OpenAISettings",
    "PortRange",
    "Problem",
    "ProviderSettings",
    "QueueSettings",
    "RtpSettings",
    "Secret",
    "SecretMissing",
    "SessionSettings",
    "Settings",
    "SipLimits",
    "SipSettings",
    "SocketAddress",
    "SpeechSettings",
    "TrunkOutboundSettings",
    "TrunkSettings",
    "load_settings",
]


def load_settings(path: Path | str, text: str | None = None) -> Settings:
    """Read and check a settings file (or `text` in its name). Raises ConfigError listing every problem."""
    document = read_yaml(path, text)
    settings = validate_model(document, (), Settings)
    if settings is not None:
        for place, message in contradictions(settings):
            document.problem(place, message)
    document.done()
    if settings is None:  # impossible: validation without a result leaves problems
        raise ConfigError([Problem(document.file, 0, "", "invalid settings")])
    return settings
