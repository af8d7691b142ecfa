"""Trunks and settings for tests of calls that we place."""

from __future__ import annotations

from typing import Any

from gateway.config import Settings, TrunkSettings

__all__ = ["settings_of", "trunk"]


def trunk(name: str = "a", *, outbound: dict[str, Any] | None = None, **more: Any) -> TrunkSettings:
    out = {"host": "192.0.2.7", "destinations": ["+1"], "caller": "+15550100", **(outbound or {})}
    return TrunkSettings.model_validate(
        {"name": name, "allow": ["192.0.2.0/24"], "outbound": out, **more}, strict=False
    )


def settings_of(*trunks: TrunkSettings, routes: tuple[dict[str, Any], ...] = ()) -> Settings:
    return Settings.model_validate(
        {
            "sip": {"listen": ("udp://127.0.0.1:5060",), "trunks": trunks},
            "outbound": {"routes": routes},
            "dialplans": ("plan.yaml",),
        }
    )
