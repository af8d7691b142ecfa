"""The edge's TLS from the settings, and the problems with its files, before anything starts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from gateway.config import SecretMissing, Settings, SipSettings, TrunkSettings
from gateway.config.fields import SecretSource
from telephony.edge import (
    TlsFilesError,
    TlsIdentity,
    TlsServer,
    TrunkTls,
    client_context,
    expiry_of,
    server_context,
)

__all__ = ["EXPIRES_SOON", "tls_problems", "tls_server", "tls_warnings", "trunk_tls"]

EXPIRES_SOON = timedelta(days=21)


def tls_server(sip: SipSettings) -> TlsServer | None:
    tls = sip.tls
    return None if tls is None else TlsServer(_identity(tls.certificate, tls.key), tls.client_ca, tls.minimum)


def trunk_tls(trunk: TrunkSettings) -> TrunkTls:
    tls = trunk.tls
    identity = _identity(tls.certificate, tls.key) if tls.certificate is not None and tls.key is not None else None
    return TrunkTls(tls.ca, tls.server_name or "", identity, tls.client_names, tls.sips)


def _identity(certificate: Path, key: SecretSource) -> TlsIdentity:
    def read() -> str:
        try:
            return key.read() + "\n"
        except SecretMissing as error:
            raise TlsFilesError(f"the key of {certificate}: {error}") from None

    return TlsIdentity(certificate, read, str(key), Path(key.file) if key.file else None)


def tls_problems(settings: Settings) -> Iterator[tuple[str, str]]:
    """Problems with the settings' files, with their place: missing, unreadable or not matching each other."""
    server = tls_server(settings.sip)
    if server is None:
        return
    try:
        server_context(server)
    except TlsFilesError as error:
        yield "sip.tls", str(error)
    for index, trunk in enumerate(settings.sip.trunks):
        try:
            client_context(trunk_tls(trunk), server.minimum)
        except TlsFilesError as error:
            yield f"sip.trunks[{index}].tls", str(error)


def tls_warnings(settings: Settings, now: datetime | None = None) -> Iterator[str]:
    """Our certificates that have expired or will soon. Unreadable ones are problems."""
    now = now or datetime.now(UTC)
    files = [settings.sip.tls.certificate] if settings.sip.tls is not None else []
    files += [trunk.tls.certificate for trunk in settings.sip.trunks if trunk.tls.certificate is not None]
    for file in dict.fromkeys(files):
        try:
            expires = expiry_of(file)
        except TlsFilesError:
            continue
        if expires <= now:
            yield f"certificate {file} has expired on {expires:%Y-%m-%d}: others will not accept it"
        elif expires - now < EXPIRES_SOON:
            yield f"certificate {file} expires on {expires:%Y-%m-%d}, in {(expires - now).days} days"
