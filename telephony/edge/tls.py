"""TLS of the public side: contexts created from files, and the layer of one connection, without a socket (RFC 3261
section 26.3, RFC 5922). TLS 1.2 and 1.3 only."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from telephony.edge.settings import TlsIdentity, TlsServer, TlsVersion, TrunkTls
from telephony.errors import TelephonyMisuse

__all__ = [
    "TlsFailed",
    "TlsFilesError",
    "TlsLayer",
    "client_context",
    "first_certificate",
    "names_of",
    "server_context",
]

_READ_BYTES = 65_536
_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_PLAIN_WORDS = {  # OpenSSL's reason -> (kind for counters, ours)
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": ("no_certificate", "the peer has no client certificate"),
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": ("alert", "the peer wants a client certificate from us"),
    "SSLV3_ALERT_HANDSHAKE_FAILURE": ("alert", "the peer refused the handshake"),
    "SSLV3_ALERT_BAD_CERTIFICATE": ("alert", "the peer does not accept our certificate"),
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": ("alert", "the peer says that our certificate has expired"),
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": ("alert", "the peer does not accept our certificate"),
    "TLSV1_ALERT_UNKNOWN_CA": ("alert", "the peer does not know the authority of our certificate"),
    "TLSV1_ALERT_ACCESS_DENIED": ("alert", "the peer denies us access"),
    "TLSV1_ALERT_PROTOCOL_VERSION": ("version", "the peer accepts no TLS version that we do"),
    "UNSUPPORTED_PROTOCOL": ("version", "the peer offers no TLS version that we accept"),
    "WRONG_SSL_VERSION": ("version", "the peer offers no TLS version that we accept"),
    "UNEXPECTED_EOF_WHILE_READING": ("closed", "the peer closed the connection in the middle"),
    "NO_SHARED_CIPHER": ("version", "no cipher in common"),
    "HTTP_REQUEST": ("not_tls", "what the peer sends is not TLS"),
    "WRONG_VERSION_NUMBER": ("not_tls", "what the peer sends is not TLS"),
    "RECORD_LAYER_FAILURE": ("not_tls", "what the peer sends is not TLS"),
}


class TlsFailed(Exception):
    """The connection is unusable. `kind` is for counters; the text is in plain words."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class TlsFilesError(TelephonyMisuse):
    """A certificate, key or authority that cannot be used. The text names the file, never a key."""


def server_context(settings: TlsServer) -> ssl.SSLContext:
    """For inbound connections. Raises TlsFilesError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _harden(context, settings.minimum)
    _load_identity(context, settings.identity)
    if settings.client_ca is not None:
        _load_authority(context, str(settings.client_ca))
        context.verify_mode = ssl.CERT_OPTIONAL  # whether its trunk needs one is decided once that is known
    return context


def client_context(tls: TrunkTls, minimum: TlsVersion) -> ssl.SSLContext:
    """For our connections to a trunk: its certificate and name are verified. Raises TlsFilesError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _harden(context, minimum)
    if tls.ca is not None:
        _load_authority(context, str(tls.ca))
    else:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    if tls.identity is not None:
        _load_identity(context, tls.identity)
    return context


def _harden(context: ssl.SSLContext, minimum: TlsVersion) -> None:
    context.minimum_version = _VERSIONS[minimum]
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:!aNULL:!MD5")  # of 1.2; 1.3 has its own


def _load_authority(context: ssl.SSLContext, path: str) -> None:
    try:
        context.load_verify_locations(cafile=path)
    except ssl.SSLError as error:
        raise TlsFilesError(f"{path}: no certificate of an authority can be read from it") from error
    except OSError as error:
        raise TlsFilesError(f"{path}: {error.strerror}") from error


def _load_identity(context: ssl.SSLContext, identity: TlsIdentity) -> None:
    path = str(identity.certificate)
    try:
        identity.certificate.read_bytes()
    except OSError as error:
        raise TlsFilesError(f"certificate {path}: {error.strerror}") from error
    try:
        key = identity.key()
    except OSError as error:
        raise TlsFilesError(f"the key of {path} ({identity.key_place}): {error.strerror}") from error
    with _as_file(key) as key_file:
        try:
            context.load_cert_chain(path, key_file, password=_no_password)
        except ssl.SSLError as error:
            raise TlsFilesError(_why_unusable(path, identity, error)) from error
        except _Encrypted as error:
            raise TlsFilesError(f"the key of {path} ({identity.key_place}) is encrypted: decrypt it") from error


class _Encrypted(Exception):
    pass


def _no_password() -> str:
    raise _Encrypted  # else OpenSSL would ask for it on the terminal


def _why_unusable(path: str, identity: TlsIdentity, error: ssl.SSLError) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"the key ({identity.key_place}) is not that of certificate {path}"
    try:
        ssl.PEM_cert_to_DER_cert(first_certificate(identity.certificate))
    except ValueError:
        return f"certificate {path}: no PEM certificate in it"
    return f"the key of {path} ({identity.key_place}) cannot be read: no PEM private key in it"


def first_certificate(path: Path) -> str:
    """Raises OSError, ValueError."""
    text = path.read_text(encoding="latin-1")
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    at = text.index(begin)
    return text[at : text.index(end, at) + len(end)]


@contextmanager
def _as_file(text: str) -> Iterator[str]:
    """OpenSSL reads keys only from files; this one is in memory, not on disk."""
    descriptor = os.memfd_create("key", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def names_of(certificate: Mapping[str, object] | None) -> frozenset[str]:
    """The SIP domains in a peer's certificate, in lower case (RFC 5922 section 7.1): `sip:` URIs among its alternative
    names, or else their DNS names, or else, if it has none at all, its common name."""
    if not certificate:
        return frozenset()
    alternative = certificate.get("subjectAltName", ())
    assert isinstance(alternative, tuple)
    uris = {value[4:].lower() for kind, value in alternative if kind == "URI" and value.lower().startswith("sip:")}
    domains = {uri for uri in uris if "@" not in uri}
    if domains:
        return frozenset(domains)
    if alternative:
        return frozenset(value.lower() for kind, value in alternative if kind == "DNS")
    subject = certificate.get("subject", ())
    assert isinstance(subject, tuple)
    return frozenset(value.lower() for part in subject for kind, value in part if kind == "commonName")


class TlsLayer:
    """The TLS of one connection. Received bytes go into `receive`; bytes to send come from `outgoing`."""

    def __init__(self, context: ssl.SSLContext, *, server_side: bool, name: str = "") -> None:
        """`name`: required in the peer's certificate and sent as SNI, for connections that we make."""
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_side, server_hostname=name or None
        )
        self._waiting = bytearray()  # to be sent once the handshake is done
        self.established = False
        self.closed = False  # the peer will send no more

    def start(self) -> None:
        """A client's first message."""
        self.receive(b"")

    def receive(self, data: bytes) -> bytes:
        """The data received so far. Raises TlsFailed; then `outgoing` has an alert for the peer."""
        self._incoming.write(data)
        plain = bytearray()
        try:
            if not self.established:
                self._object.do_handshake()
                self.established = True
                self._write(bytes(self._waiting))
                self._waiting.clear()
            while piece := self._object.read(_READ_BYTES):
                plain += piece
            self.closed = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.closed = True
        except ssl.SSLError as error:
            raise _failure(error) from error
        return bytes(plain)

    def send(self, data: bytes) -> None:
        if self.established:
            self._write(data)
        else:
            self._waiting += data

    def _write(self, data: bytes) -> None:
        with suppress(ssl.SSLError):  # it has failed, and is about to be cut
            if data:
                self._object.write(data)  # into memory: never waits

    def outgoing(self) -> bytes:
        return self._outgoing.read()

    @property
    def waiting(self) -> int:
        """Bytes waiting for the end of the handshake."""
        return len(self._waiting)

    @property
    def peer_names(self) -> frozenset[str]:
        """The names in the peer's verified certificate."""
        return names_of(self._object.getpeercert())

    @property
    def version(self) -> str:
        return self._object.version() or ""


def _failure(error: ssl.SSLError) -> TlsFailed:
    if isinstance(error, ssl.SSLCertVerificationError):
        return TlsFailed("certificate", f"its certificate is not accepted: {error.verify_message.rstrip('.')}")
    reason = error.reason or type(error).__name__
    kind, text = _PLAIN_WORDS.get(reason, ("failed", f"TLS failed: {reason.replace('_', ' ').lower()}"))
    return TlsFailed(kind, text)
