"""Settings of TLS: our certificate, and what a trunk shows and is shown."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from gateway.config.fields import FilePath, Secret

__all__ = ["SipTlsSettings", "TrunkTlsSettings"]

_NAME = r"^([A-Za-z0-9]([A-Za-z0-9.\-]*[A-Za-z0-9])?|\[?[0-9A-Fa-f:.]+\]?)$"
CertificateName = Annotated[str, Field(pattern=_NAME, max_length=255)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class SipTlsSettings(_Section):
    """TLS of the public SIP side (1.2 and 1.3). Files that change are read again within seconds, without a restart."""

    certificate: FilePath = Field(
        description="PEM file of our certificate, followed by those between it and its authority."
    )
    key: Secret = Field(description="Where its private key is stored (PEM, not encrypted).")
    client_ca: FilePath | None = Field(
        default=None,
        description="PEM file of the authorities whose client certificates are accepted. Not given: no caller is asked "
        "for one.",
    )
    minimum: Literal["1.2", "1.3"] = Field(default="1.2", description="The lowest version of TLS, in both directions.")


class TrunkTlsSettings(_Section):
    """TLS with a trunk."""

    ca: FilePath | None = Field(
        default=None,
        description="PEM file of the authorities that its certificate may come from. Not given: those that the system "
        "trusts.",
    )
    server_name: CertificateName | None = Field(
        default=None,
        description="Name that its certificate must have, also sent as SNI. Not given: `host` as it is written there.",
    )
    certificate: FilePath | None = Field(
        default=None, description="PEM file of the client certificate that we show it. Not given: none is shown."
    )
    key: Secret | None = Field(default=None, description="Where the key of that certificate is stored.")
    client_names: tuple[CertificateName, ...] = Field(
        default=(),
        description="Names of the client certificate that it must show when it calls. It is then known by it wherever "
        "it calls from, and calls without it are refused. Needs `sip.tls.client_ca`.",
    )
    sips: bool = Field(default=False, description="Write `sips:` URIs to it. Its hosts are then reached by TLS only.")
