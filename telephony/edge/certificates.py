"""The certificates in use: TLS contexts, recreated when a file changes, and the expiry of our certificates."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from telephony.edge.settings import TlsIdentity, TlsServer, TlsVersion, TrunkTls
from telephony.edge.tls import TlsFilesError, client_context, first_certificate, server_context

__all__ = ["CertificateExpiry", "Certificates", "expiry_of"]

_Stamp = tuple[tuple[str, int, int, int], ...]


@dataclass(frozen=True, slots=True)
class CertificateExpiry:
    """One of our certificates. `trunk`: shown to this trunk; empty: to whoever connects."""

    file: str
    trunk: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class _Contexts:
    server: ssl.SSLContext | None
    clients: Mapping[str, ssl.SSLContext]  # by trunk
    expiries: tuple[CertificateExpiry, ...]


class Certificates:
    """`trunks`: those that we may connect to."""

    def __init__(self, server: TlsServer | None, trunks: Mapping[str, TrunkTls]) -> None:
        self._server = server
        self._trunks = dict(trunks)
        self._stamp: _Stamp = ()
        self._contexts = _Contexts(None, {}, ())

    def load(self) -> None:
        """Raises TlsFilesError."""
        if self._server is not None:
            self._stamp = self._stamp_now()
            self._contexts = self._made(self._server)

    def refresh(self) -> bool:
        """Returns whether a file has changed; new connections then use its new contents. May run in another thread.
        Raises TlsFilesError once for each unusable change; the previous contents stay in use."""
        if self._server is None or (stamp := self._stamp_now()) == self._stamp:
            return False
        self._stamp = stamp
        self._contexts = self._made(self._server)
        return True

    @property
    def server(self) -> ssl.SSLContext | None:
        return self._contexts.server

    def client(self, trunk: str) -> ssl.SSLContext | None:
        return self._contexts.clients.get(trunk)

    def name_for(self, trunk: str, name: str) -> str:
        """The name required in the certificate of a trunk's host called `name`."""
        tls = self._trunks.get(trunk)
        return tls.name if tls is not None and tls.name else name

    @property
    def expiries(self) -> tuple[CertificateExpiry, ...]:
        return self._contexts.expiries

    def _made(self, server: TlsServer) -> _Contexts:
        made: dict[tuple[Path | None, TlsIdentity | None, TlsVersion], ssl.SSLContext] = {}
        clients = {}
        for name, tls in self._trunks.items():
            key = (tls.ca, tls.identity, server.minimum)
            if key not in made:  # the system's authorities take 20 ms to read
                made[key] = client_context(tls, server.minimum)
            clients[name] = made[key]
        expiries = tuple(
            CertificateExpiry(str(identity.certificate), trunk, expiry_of(identity.certificate))
            for trunk, identity in self._identities()
        )
        return _Contexts(server_context(server), clients, expiries)

    def _identities(self) -> Iterator[tuple[str, TlsIdentity]]:
        if self._server is not None:
            yield "", self._server.identity
        for name, tls in self._trunks.items():
            if tls.identity is not None:
                yield name, tls.identity

    def _files(self) -> Iterator[Path]:
        for _, identity in self._identities():
            yield identity.certificate
            if identity.key_file is not None:
                yield identity.key_file
        if self._server is not None and self._server.client_ca is not None:
            yield self._server.client_ca
        yield from (tls.ca for tls in self._trunks.values() if tls.ca is not None)

    def _stamp_now(self) -> _Stamp:
        stamps = []
        for path in dict.fromkeys(self._files()):
            try:
                found = path.stat()
                stamps.append((str(path), found.st_ino, found.st_mtime_ns, found.st_size))
            except OSError:
                stamps.append((str(path), 0, 0, 0))
        return tuple(stamps)


def expiry_of(path: Path) -> datetime:
    """When the first certificate of a PEM file expires. Raises TlsFilesError."""
    try:
        return _not_after(ssl.PEM_cert_to_DER_cert(first_certificate(path)))
    except OSError as error:
        raise TlsFilesError(f"certificate {path}: {error.strerror}") from error
    except (ValueError, IndexError) as error:
        raise TlsFilesError(f"certificate {path}: no PEM certificate in it") from error


def _not_after(der: bytes) -> datetime:
    """RFC 5280 section 4.1: Certificate, TBSCertificate, its Validity. Raises ValueError, IndexError."""
    _, certificate, _ = _element(der, 0)
    _, body, _ = _element(certificate, 0)
    at = 0
    tag, _, after = _element(body, at)
    if tag == 0xA0:  # version
        at = after
    for _ in range(3):  # serial number, signature algorithm, issuer
        _, _, at = _element(body, at)
    _, validity, _ = _element(body, at)
    _, _, at = _element(validity, 0)
    tag, text, _ = _element(validity, at)
    digits = text.decode("ascii")
    if tag == 0x17:  # UTCTime: 50 and later are of the last century
        digits = ("19" if digits[:2] >= "50" else "20") + digits
    return datetime.strptime(digits, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _element(data: bytes, at: int) -> tuple[int, bytes, int]:
    """Tag, contents and end of the DER element that begins there."""
    tag, length, at = data[at], data[at + 1], at + 2
    if length & 0x80:
        size = length & 0x7F
        length, at = int.from_bytes(data[at : at + size], "big"), at + size
    if at + length > len(data):
        raise ValueError("the element is cut off")
    return tag, data[at : at + length], at + length
