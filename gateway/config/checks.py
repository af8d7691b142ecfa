"""Contradictions between settings that are valid on their own."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from gateway.config.located_yaml import Located
from gateway.config.models import Settings
from gateway.config.phones import phone_contradictions
from gateway.config.queues import queue_problem
from gateway.config.session import turn_detection_problem
from gateway.config.tls_checks import tls_contradictions
from gateway.config.trunk_checks import outbound_contradictions, told_apart, trunk_contradictions
from gateway.config.trunks import TrunkHostSettings

__all__ = ["contradictions"]

Complaint = tuple[Located, str]


def contradictions(settings: Settings) -> Iterator[Complaint]:
    """Every contradiction, with its place."""
    yield from _addresses(settings)
    yield from _trunks(settings)
    yield from outbound_contradictions(settings.outbound, settings.sip.trunks)
    yield from phone_contradictions(settings.sip.phones, tuple(trunk.name for trunk in settings.sip.trunks))
    yield from tls_contradictions(settings.sip)
    yield from _ports(settings)
    yield from _providers(settings)
    if settings.rooms == "livekit" and settings.livekit is None:
        yield ("livekit",), "required, as rooms is livekit"
    yield from _livekit_outbound(settings)
    yield from _calls(settings)
    if problem := queue_problem(settings.queues, settings.queue_members):
        yield problem
    for index, webhook in enumerate(settings.webhooks):
        if settings.summary is not None and settings.summary.url == webhook.url:
            yield ("summary", "url"), f"also the URL of webhooks[{index}]: add a query to one of them"
    if settings.store.sqlite and settings.store.password is not None:
        yield ("store", "password"), "means nothing with SQLite: it is PostgreSQL's"
    for first, second in combinations(range(len(settings.dialplans)), 2):
        if settings.dialplans[first] == settings.dialplans[second]:
            yield ("dialplans", second), f"{settings.dialplans[second]} is listed twice"


def _addresses(settings: Settings) -> Iterator[Complaint]:
    listen = settings.sip.listen
    for first, second in combinations(range(len(listen)), 2):
        if listen[first] == listen[second]:
            yield ("sip", "listen", second), f"{listen[second]} is listed twice"
        elif listen[first].collides(listen[second]):
            yield ("sip", "listen", second), f"{listen[second]} and {listen[first]} cannot both be used"
    for index, address in enumerate(listen):
        if address.any_address and settings.sip.public_address is None:
            yield (
                ("sip", "public_address"),
                f"required with sip.listen[{index}] = {address}: phones cannot send to {address.host}",
            )
            break
    http = settings.http
    for address in listen:
        if address.collides(http.listen):
            yield ("http", "listen"), f"{http.listen.host}:{http.listen.port} is already used by sip.listen's {address}"
    if not http.listen.loopback and not http.api_keys and not http.require_key:
        yield ("http", "api_keys"), f"required when HTTP is reachable from other machines ({http.listen.host})"


def _trunks(settings: Settings) -> Iterator[Complaint]:
    trunks = settings.sip.trunks
    listens = {address.transport for address in settings.sip.listen}
    for index, trunk in enumerate(trunks):
        of: Located = ("sip", "trunks", index)
        out, registration = trunk.outbound, trunk.registration
        yield from trunk_contradictions(trunk, of)
        if trunk.probe is not None and out is None:
            yield (*of, "probe"), "requires outbound: its hosts are what is asked"
        hosts: list[tuple[Located, TrunkHostSettings]] = [(("outbound",), out)] if out else []
        hosts += [(("outbound", "fail_over", n), each) for n, each in enumerate(out.fail_over)] if out else []
        if registration is not None and registration.registrar is not None:
            hosts.append((("registration", "registrar"), registration.registrar))
        if out is not None and out.proxy is not None:
            hosts.append((("outbound", "proxy"), out.proxy))
            if out.fail_over:
                yield (*of, "outbound", "fail_over"), "means nothing with a proxy: all calls go to its hosts"
            if registration is not None and registration.registrar is not None:
                yield (*of, "registration", "registrar"), "means nothing with outbound.proxy: it registers through that"
        for where, host in hosts:
            if host.transport is not None and host.transport not in listens:
                yield (*of, *where, "transport"), f"no listen address for {host.transport}"
    for first, second in combinations(range(len(trunks)), 2):
        place: Located = ("sip", "trunks", second)
        if trunks[first].name == trunks[second].name:
            yield (*place, "name"), f'duplicate trunk name "{trunks[second].name}"'
        for index, network in enumerate(trunks[second].allow):
            if network in trunks[first].allow and not told_apart(trunks[first], trunks[second]):
                yield (
                    (*place, "allow", index),
                    f'{network} is also in trunk "{trunks[first].name}": say which calls are whose (inbound, callers)',
                )


def _ports(settings: Settings) -> Iterator[Complaint]:
    ports, slots, workers = settings.rtp.ports, settings.slots_per_worker, settings.worker_count()
    if ports.pairs < workers * slots:
        yield (
            ("rtp", "ports"),
            f"{ports} has room for {ports.pairs} calls, two ports each; "
            f"{workers} workers with {slots} slots need {workers * slots * 2} ports",
        )
    for address in settings.sip.listen:
        if address.transport == "udp" and address.port in ports:
            yield ("rtp", "ports"), f"{ports} contains the port of sip.listen's {address}"


def _providers(settings: Settings) -> Iterator[Complaint]:
    openai = settings.providers.openai
    if openai is None and "openai" in settings.speech.names():
        yield ("providers", "openai"), "required, as speech uses openai"
    if openai is not None and openai.base_url is None and openai.api_key is None:
        yield ("providers", "openai", "api_key"), "required, or base_url for a server that needs no key"


def _livekit_outbound(settings: Settings) -> Iterator[Complaint]:
    outbound = settings.livekit.outbound if settings.livekit else ()
    for index, carrier in enumerate(outbound):
        place: Located = ("livekit", "outbound", index)
        if any(other.name == carrier.name for other in outbound[:index]):
            yield (*place, "name"), f'duplicate carrier name "{carrier.name}"'
        if bool(carrier.auth_username) != (carrier.auth_password is not None):
            yield (*place, "auth_username"), "auth_username and auth_password must be given together"


def _calls(settings: Settings) -> Iterator[Complaint]:
    calls = settings.calls
    if calls.media_alarm_s >= calls.first_media_s:
        message = f"the warning ({calls.media_alarm_s} s) would come after the end ({calls.first_media_s} s)"
        yield ("calls", "media_alarm_s"), message
    wrong = settings.session.contradiction()
    if wrong:
        yield ("session", wrong[0]), wrong[1]
    detection, speech = settings.session.turn_detection, settings.speech
    if problem := turn_detection_problem(detection, speech.vad, speech.stt):
        yield ("session", "turn_detection"), problem
