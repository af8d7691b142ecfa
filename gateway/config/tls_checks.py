"""Contradictions between the settings of TLS and SRTP."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.config.located_yaml import Located
from gateway.config.models import SipSettings
from gateway.config.trunks import TrunkHostSettings, TrunkSettings

__all__ = ["tls_contradictions"]

_PLAIN_KEYS = (
    "the keys of the audio would go over plain SIP, where anybody on the way can read them: "
    "{how}, or accept that by srtp_over_plain_sip: true"
)

Complaint = tuple[Located, str]
_Hosts = list[tuple[Located, TrunkHostSettings]]


def tls_contradictions(sip: SipSettings) -> Iterator[Complaint]:
    listens = any(address.transport == "tls" for address in sip.listen)
    for index, address in enumerate(sip.listen):
        if address.transport == "tls" and sip.tls is None:
            yield ("sip", "listen", index), f"{address} needs sip.tls: a certificate and its key"
    for index, trunk in enumerate(sip.trunks):
        for where, text in _of_trunk(sip, trunk, listens=listens):
            yield ("sip", "trunks", index, *where), text


def _of_trunk(sip: SipSettings, trunk: TrunkSettings, *, listens: bool) -> Iterator[Complaint]:
    tls = trunk.tls
    if not trunk.allow and not tls.client_names:
        yield ("allow",), "must have at least 1 entry, unless tls.client_names says whom to know it by"
    if (tls.certificate is None) != (tls.key is None):
        yield ("tls", "certificate" if tls.certificate is None else "key"), "certificate and key must be given together"
    if tls.client_names and not (listens and sip.tls is not None and sip.tls.client_ca is not None):
        yield ("tls", "client_names"), "requires a tls:// listen address and sip.tls.client_ca"
    if tls.sips and not listens:
        yield ("tls", "sips"), "no listen address for tls"
    hosts = _hosts(trunk)
    secure = tls.sips or any(host.transport == "tls" for _, host in hosts)
    for where, host in hosts:
        if tls.sips and host.transport in ("udp", "tcp"):
            yield (*where, "transport"), "contradicts tls.sips, which means TLS on the whole way"
        elif secure and not tls.sips and host.transport is None:
            text = "must be said: another host of the trunk is reached by TLS, and none leads to plain SIP by itself"
            yield (*where, "transport"), text
    yield from _srtp(trunk, hosts, listens=listens)


def _srtp(trunk: TrunkSettings, hosts: _Hosts, *, listens: bool) -> Iterator[Complaint]:
    if trunk.srtp != "required" or trunk.srtp_over_plain_sip:
        return
    if not listens:
        yield ("srtp",), _PLAIN_KEYS.format(how="listen on a tls:// address")
    for where, host in hosts:
        if host.transport != "tls" and not trunk.tls.sips and where[0] == "outbound":
            yield (*where, "transport") if host.transport else ("srtp",), _PLAIN_KEYS.format(how="set transport: tls")
            return


def _hosts(trunk: TrunkSettings) -> _Hosts:
    out, registration = trunk.outbound, trunk.registration
    hosts: _Hosts = []
    if out is not None:
        if out.proxy is not None:
            hosts.append((("outbound", "proxy"), out.proxy))
        else:
            hosts.append((("outbound",), out))
            hosts += [(("outbound", "fail_over", n), host) for n, host in enumerate(out.fail_over)]
    if registration is not None and registration.registrar is not None:
        hosts.append((("registration", "registrar"), registration.registrar))
    return hosts
