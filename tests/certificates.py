"""Certificates of the tests, made when they are wanted: an authority, and what it has signed."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme

from telephony.edge.settings import TlsIdentity, TlsServer

__all__ = ["Authority", "Files"]


@dataclass(frozen=True)
class Files:
    """A certificate and its key."""

    certificate: Path
    key: Path

    @property
    def identity(self) -> TlsIdentity:
        return TlsIdentity(self.certificate, self.key.read_text, str(self.key), self.key)

    def server(self, client_ca: Path | None = None) -> TlsServer:
        return TlsServer(self.identity, client_ca)


@dataclass
class Authority:
    """Its files go into `folder`."""

    folder: Path
    name: str = "authority"
    _made: trustme.CA = field(default_factory=trustme.CA)

    @property
    def ca(self) -> Path:
        path = self.folder / f"{self.name}.pem"
        if not path.exists():
            self._made.cert_pem.write_to_path(path)
        return path

    def issue(self, *names: str, expires_in_days: float = 30, called: str = "") -> Files:
        """For those host names and IP addresses."""
        expires = datetime.now(UTC) + timedelta(days=expires_in_days)
        begins = min(datetime.now(UTC), expires) - timedelta(days=1)
        made = self._made.issue_cert(*names, not_before=begins, not_after=expires)
        stem = called or names[0].replace("*", "any")
        files = Files(self.folder / f"{stem}.crt", self.folder / f"{stem}.key")
        files.certificate.write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
        files.key.write_bytes(made.private_key_pem.bytes())
        return files
