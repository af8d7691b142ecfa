"""TLS without sockets: two layers that are handed each other's bytes; and the files that it needs."""

from __future__ import annotations

import ssl
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from telephony.edge.certificates import Certificates, expiry_of
from telephony.edge.settings import TlsIdentity, TlsServer, TrunkTls
from telephony.edge.tls import TlsFailed, TlsFilesError, TlsLayer, client_context, names_of, server_context
from tests.certificates import Authority, Files


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def shake_hands(client: TlsLayer, server: TlsLayer, most: int = 10) -> None:
    """Until nobody has anything to say. Raises TlsFailed of whoever fails first."""
    client.start()
    for _ in range(most):
        to_server = client.outgoing()
        if to_server:
            server.receive(to_server)
        to_client = server.outgoing()
        if to_client:
            client.receive(to_client)
        elif not to_server:
            return


def pair(
    authority: Authority,
    files: Files,
    *,
    name: str = "sip.carrier.example",
    tls: TrunkTls | None = None,
    client_ca: Path | None = None,
) -> tuple[TlsLayer, TlsLayer]:
    """A trunk's view of us, and ours of it."""
    client = TlsLayer(client_context(tls or TrunkTls(authority.ca), "1.2"), server_side=False, name=name)
    return client, TlsLayer(server_context(files.server(client_ca)), server_side=True)


def test_what_is_said_arrives_and_was_held_back_until_then(authority: Authority) -> None:
    client, server = pair(authority, authority.issue("sip.carrier.example"))
    client.send(b"INVITE")
    assert client.waiting == len(b"INVITE")
    client.start()
    assert server.receive(client.outgoing()) == b""
    client.receive(server.outgoing())
    assert client.established and client.waiting == 0
    assert server.receive(client.outgoing()) == b"INVITE"
    assert server.version == "TLSv1.3"
    server.send(b"100")
    assert client.receive(server.outgoing()) == b"100"


def test_bytes_may_come_one_by_one(authority: Authority) -> None:
    client, server = pair(authority, authority.issue("sip.carrier.example"))
    client.start()
    for byte in client.outgoing():
        assert not server.established
        server.receive(bytes([byte]))
    client.receive(server.outgoing())
    assert client.established


@pytest.mark.parametrize(
    ("issued", "days", "name", "said"),
    [
        ("sip.carrier.example", -1, "sip.carrier.example", "certificate has expired"),
        ("sip.other.example", 30, "sip.carrier.example", "Hostname mismatch"),
        ("192.0.2.7", 30, "192.0.2.8", "IP address mismatch"),
        ("*.carrier.example", 30, "a.b.carrier.example", "Hostname mismatch"),
    ],
)
def test_a_certificate_that_will_not_do(authority: Authority, issued: str, days: float, name: str, said: str) -> None:
    client, server = pair(authority, authority.issue(issued, expires_in_days=days), name=name)
    with pytest.raises(TlsFailed, match=said) as failed:
        shake_hands(client, server)
    assert failed.value.kind == "certificate"
    with pytest.raises(TlsFailed):  # the peer learns of it by an alert
        server.receive(client.outgoing())
    assert not server.established


@pytest.mark.parametrize(("issued", "name"), [("192.0.2.7", "192.0.2.7"), ("*.carrier.example", "a.carrier.example")])
def test_addresses_and_wildcards_will(authority: Authority, issued: str, name: str) -> None:
    client, server = pair(authority, authority.issue(issued), name=name)
    shake_hands(client, server)
    assert client.established


def test_an_authority_that_nobody_knows(authority: Authority, tmp_path: Path) -> None:
    """A self-signed certificate is one, too."""
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other")
    for ca, said in ((other.ca, "unable to get local issuer|self-signed"), (None, "unable to get local issuer|self-")):
        client, server = pair(authority, authority.issue("sip.carrier.example"), tls=TrunkTls(ca))
        with pytest.raises(TlsFailed, match=said):
            shake_hands(client, server)


def test_a_client_certificate_is_shown_and_named(authority: Authority) -> None:
    tls = TrunkTls(authority.ca, identity=authority.issue("edge.trunkline.example").identity)
    client, server = pair(authority, authority.issue("sip.carrier.example"), tls=tls, client_ca=authority.ca)
    shake_hands(client, server)
    assert server.peer_names == {"edge.trunkline.example"}


def test_without_one_the_connection_has_no_name(authority: Authority) -> None:
    client, server = pair(authority, authority.issue("sip.carrier.example"), client_ca=authority.ca)
    shake_hands(client, server)
    assert server.established and server.peer_names == frozenset()


def test_a_client_certificate_of_another_authority_is_refused(authority: Authority, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other")
    tls = TrunkTls(authority.ca, identity=other.issue("edge.trunkline.example").identity)
    client, server = pair(authority, authority.issue("sip.carrier.example"), tls=tls, client_ca=authority.ca)
    with pytest.raises(TlsFailed, match="its certificate is not accepted"):
        shake_hands(client, server)
    with pytest.raises(TlsFailed, match="does not know the authority of our certificate"):
        client.receive(server.outgoing())


def test_a_peer_that_demands_one_says_so(authority: Authority) -> None:
    """With TLS 1.3 our side is done before the peer has looked."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    files = authority.issue("sip.carrier.example")
    context.load_cert_chain(files.certificate, files.key)
    context.load_verify_locations(authority.ca)
    context.verify_mode = ssl.CERT_REQUIRED
    client = TlsLayer(client_context(TrunkTls(authority.ca), "1.2"), server_side=False, name="sip.carrier.example")
    server = TlsLayer(context, server_side=True)
    with pytest.raises(TlsFailed, match="the peer has no client certificate") as failed:
        shake_hands(client, server)
    assert failed.value.kind == "no_certificate" and client.established
    with pytest.raises(TlsFailed, match="wants a client certificate from us"):
        client.receive(server.outgoing())


@pytest.mark.parametrize("garbage", [b"INVITE sip:a@b SIP/2.0\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", bytes(600)])
def test_what_is_not_tls(authority: Authority, garbage: bytes) -> None:
    _, server = pair(authority, authority.issue("sip.carrier.example"))
    with pytest.raises(TlsFailed, match=r"not TLS|TLS failed"):
        server.receive(garbage)


@pytest.mark.parametrize(("version", "minimum"), [(ssl.TLSVersion.TLSv1_1, "1.2"), (ssl.TLSVersion.TLSv1_2, "1.3")])
def test_old_versions_are_refused(authority: Authority, version: ssl.TLSVersion, minimum: str) -> None:
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.load_verify_locations(authority.ca)
    old.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, version
    settings = TlsServer(authority.issue("sip.carrier.example").identity, minimum=minimum)  # type: ignore[arg-type]
    client = TlsLayer(old, server_side=False, name="sip.carrier.example")
    with pytest.raises(TlsFailed, match="TLS version") as failed:
        shake_hands(client, TlsLayer(server_context(settings), server_side=True))
    assert failed.value.kind == "version"


def test_tls_1_2_still_does(authority: Authority) -> None:
    context = client_context(TrunkTls(authority.ca), "1.2")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    client = TlsLayer(context, server_side=False, name="sip.carrier.example")
    server = TlsLayer(server_context(authority.issue("sip.carrier.example").server()), server_side=True)
    shake_hands(client, server)
    assert server.version == "TLSv1.2"


def test_the_peer_says_that_it_is_done(authority: Authority) -> None:
    client, server = pair(authority, authority.issue("sip.carrier.example"))
    shake_hands(client, server)
    client.send(b"BYE")
    with pytest.raises(ssl.SSLWantReadError):  # it has said so, and waits for the other side
        client._object.unwrap()
    assert server.receive(client.outgoing()) == b"BYE"
    assert server.closed


@pytest.mark.parametrize(
    ("certificate", "names"),
    [
        ({"subjectAltName": (("DNS", "A.example"), ("URI", "sip:B.example"))}, {"b.example"}),  # RFC 5922 section 7.1
        ({"subjectAltName": (("DNS", "A.example"), ("URI", "sip:bob@b.example"))}, {"a.example"}),
        ({"subjectAltName": (("IP Address", "192.0.2.1"),), "subject": ((("commonName", "c"),),)}, set()),
        ({"subject": ((("commonName", "C.example"),),)}, {"c.example"}),
        (None, set()),
    ],
)
def test_names_of_a_certificate(certificate: dict[str, object] | None, names: set[str]) -> None:
    assert names_of(certificate) == names


# Files


def test_files_that_are_of_no_use(authority: Authority, tmp_path: Path) -> None:
    ours, theirs = authority.issue("a.example"), authority.issue("b.example")
    no_pem = tmp_path / "no.pem"
    no_pem.write_text("nothing")
    wrong = [
        (tmp_path / "gone.crt", ours.key, r"certificate .*gone\.crt: No such file"),
        (no_pem, ours.key, "no PEM certificate in it"),
        (ours.certificate, no_pem, "no PEM private key in it"),
        (ours.certificate, theirs.key, "is not that of certificate"),
    ]
    for certificate, key, said in wrong:
        with pytest.raises(TlsFilesError, match=said):
            server_context(TlsServer(TlsIdentity(certificate, key.read_text, f"file {key}")))
    for ca in (tmp_path / "gone.pem", no_pem):
        with pytest.raises(TlsFilesError, match=str(ca)):
            server_context(TlsServer(ours.identity, ca))
        with pytest.raises(TlsFilesError, match=str(ca)):
            client_context(TrunkTls(ca), "1.2")


def test_an_encrypted_key_is_not_asked_about_at_a_terminal(authority: Authority, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization as form

    ours = authority.issue("a.example")
    key = form.load_pem_private_key(ours.key.read_bytes(), None)
    locked = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.BestAvailableEncryption(b"secret"))
    identity = TlsIdentity(ours.certificate, locked.decode, "file locked.key")
    with pytest.raises(TlsFilesError, match="is encrypted"):
        server_context(TlsServer(identity))


def test_when_a_certificate_expires(authority: Authority) -> None:
    for days in (30, -3, 40_000):  # the last is written in another way (RFC 5280 section 4.1.2.5)
        found = expiry_of(authority.issue("a.example", expires_in_days=days).certificate)
        assert abs(found - datetime.now(UTC) - timedelta(days=days)) < timedelta(minutes=1)
    with pytest.raises(TlsFilesError, match=r"gone\.crt: No such file"):
        expiry_of(authority.folder / "gone.crt")


def _names_at(certificates: Certificates, authority: Authority, name: str) -> bool:
    context = certificates.server
    assert context is not None
    client = TlsLayer(client_context(TrunkTls(authority.ca), "1.2"), server_side=False, name=name)
    try:
        shake_hands(client, TlsLayer(context, server_side=True))
    except TlsFailed:
        return False
    return True


def test_new_files_are_used_and_useless_ones_are_not(authority: Authority) -> None:
    ours = authority.issue("a.example", called="ours")
    certificates = Certificates(ours.server(), {"carrier": TrunkTls(authority.ca, identity=ours.identity)})
    certificates.load()
    assert [(expiry.trunk, expiry.file) for expiry in certificates.expiries] == [
        ("", str(ours.certificate)),
        ("carrier", str(ours.certificate)),
    ]
    assert not certificates.refresh()
    first = certificates.client("carrier")
    authority.issue("b.example", called="new")
    (authority.folder / "new.crt").replace(ours.certificate)  # its key is not there yet
    with pytest.raises(TlsFilesError, match="is not that of certificate"):
        certificates.refresh()
    assert not certificates.refresh()  # told once
    assert _names_at(certificates, authority, "a.example")
    (authority.folder / "new.key").replace(ours.key)
    assert certificates.refresh()
    assert _names_at(certificates, authority, "b.example") and not _names_at(certificates, authority, "a.example")
    assert certificates.client("carrier") is not first
    ours.key.unlink()
    with pytest.raises(TlsFilesError, match="No such file"):
        certificates.refresh()
    assert _names_at(certificates, authority, "b.example")


def test_trunks_of_one_kind_share_a_context(authority: Authority) -> None:
    ours = authority.issue("a.example")
    certificates = Certificates(ours.server(), {"a": TrunkTls(), "b": TrunkTls(), "c": TrunkTls(authority.ca)})
    certificates.load()
    assert certificates.client("a") is certificates.client("b") is not certificates.client("c")
    assert certificates.client("d") is None
