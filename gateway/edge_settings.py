"""The edge's part of the settings, and this machine's addresses that no audio may be sent to."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Literal

from gateway.config import Settings, TrunkSettings
from gateway.config.trunks import TrunkAccountSettings, TrunkHostSettings
from gateway.edge_tls import tls_server, trunk_tls
from gateway.phones.edge import edge_phones, phones_trunk
from telephony.edge import EdgeLimits, EdgeSettings, Registrar, Trunk
from telephony.sip.digest import Credentials
from telephony.sip.media_policy import MediaPolicy, addresses
from telephony.sip.probing import ProbePolicy
from telephony.sip.registration import RegistrationPolicy
from telephony.sip.resolving import Target
from telephony.sip.session_timer import SessionPolicy
from telephony.sip.srtp import Srtp

__all__ = ["edge_settings"]


def edge_settings(settings: Settings) -> EdgeSettings:
    """Raises SecretMissing."""
    sip = settings.sip
    limits = {name: getattr(sip.limits, name) for name in type(sip.limits).model_fields}
    return EdgeSettings(
        listen=tuple(str(address) for address in sip.listen),
        trunks=(*(_trunk(trunk) for trunk in sip.trunks), *phones_trunk(sip.phones)),
        public_address=sip.public_address or "",
        limits=EdgeLimits(**limits),
        media=_media_policy(settings),
        tls=tls_server(sip),
        phones=edge_phones(sip.phones),
    )


def _trunk(trunk: TrunkSettings) -> Trunk:
    out, probe = trunk.outbound, trunk.probe
    proxy = None if out is None else out.proxy
    hosts = () if out is None else (proxy,) if proxy else (out, *out.fail_over)
    return Trunk(
        trunk.name,
        tuple(map(str, trunk.allow)),
        called_from=trunk.called_from,
        trust_identity=trunk.trust_identity,
        media_networks=tuple(map(str, trunk.media_networks)),
        hosts=tuple(_target(host, trunk) for host in hosts),
        account=_account(trunk.account),
        register=_registrar(trunk, hosts[0] if hosts else None),
        session=SessionPolicy(**trunk.session_timer.model_dump()),
        reliable=trunk.reliable_provisional,
        route=_route(proxy, trunk) if proxy else "",
        probe=None if probe is None else ProbePolicy(**probe.model_dump()),
        callers={user.username: user.password.read() for user in trunk.callers.users} if trunk.callers else None,
        realm=trunk.callers.realm if trunk.callers else "",
        tls=trunk_tls(trunk),
        numbers=trunk.inbound.numbers if trunk.inbound else (),
        domains=frozenset(domain.lower() for domain in trunk.inbound.domains) if trunk.inbound else frozenset(),
        headers_in=frozenset(each.header.lower() for each in trunk.headers_in),
        srtp=Srtp(trunk.srtp),
        codecs=trunk.codecs,
        takes_refer=bool(trunk.transfers.refer),
        takes_replaces=bool(trunk.transfers.replaces),
        srtp_over_plain_sip=trunk.srtp_over_plain_sip,
    )


def _target(host: TrunkHostSettings, trunk: TrunkSettings) -> Target:
    return Target(host.host, host.port, host.transport, secure=trunk.tls.sips)


def _account(account: TrunkAccountSettings | None) -> Credentials | None:
    return None if account is None else Credentials(account.username, account.password.read(), account.realm)


def _route(proxy: TrunkHostSettings, trunk: TrunkSettings) -> str:
    host = proxy.host if proxy.port is None else f"{proxy.host}:{proxy.port}"
    if trunk.tls.sips:
        return f"<sips:{host};lr>"
    return f"<sip:{host}{proxy.uri_transport};lr>"


def _registrar(trunk: TrunkSettings, first: TrunkHostSettings | None) -> Registrar | None:
    """`first`: where calls go. If that is over TLS, so is the registration."""
    registration, out = trunk.registration, trunk.outbound
    if registration is None:
        return None
    host = first if out is not None and out.proxy is not None else registration.registrar
    by_tls: Literal["tls"] | None = "tls" if first is not None and first.transport == "tls" else None
    target = _target(host, trunk) if host else Target(registration.domain, None, by_tls, secure=trunk.tls.sips)
    policy = RegistrationPolicy(expiry_s=registration.expiry_s)
    scheme = "sips" if trunk.tls.sips else "sip"
    return Registrar(f"{scheme}:{registration.user}@{registration.domain}", target, policy)


def _media_policy(settings: Settings) -> MediaPolicy:
    sip, rtp = settings.sip, settings.rtp
    said = [address.host for address in sip.listen] + [sip.public_address or "", rtp.address or ""]
    ports = {address.port for address in sip.listen} | {settings.http.listen.port}
    return MediaPolicy(addresses([*_interfaces(), *said]), frozenset(ports), range(rtp.ports.first, rtp.ports.last + 1))


def _interfaces() -> list[str]:
    """IPv4 addresses of this machine, as the kernel's routes have them (psutil would cost a megabyte)."""
    found: list[str] = []
    with suppress(OSError):
        address = ""
        for line in Path("/proc/net/fib_trie").read_text().splitlines():
            branch, _, rest = line.partition("|-- ")
            if rest and not branch.strip():
                address = rest.strip()
            elif "/32 host LOCAL" in line:
                found.append(address)
    return found
