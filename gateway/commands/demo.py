"""`trunkline demo`: a recorded caller calls the gateway over real SIP and RTP, and the conversation is shown."""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import TYPE_CHECKING, Any

from agent.stopping import on_stop_signals

if TYPE_CHECKING:
    from agent.testing.fixture import Fixture
    from agent.testing.replay import ReplayResult
    from gateway.app import Gateway
    from gateway.config import Settings
    from gateway.record import RecordMessage
    from gateway.terminal import Terminal

__all__ = ["add_parser", "run"]

_CALL = "tests/fixtures/audio/pleasant_booking"


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "demo",
        help="start the gateway and let a recorded caller call it",
        description="Start the gateway, place a call to it over real SIP and RTP with a recorded caller, and show the "
        "conversation. Exit code 0: it went as recorded; 1: it did not, or startup failed; 2: bad input.",
    )
    parser.add_argument("--stay", action="store_true", help="keep running afterwards, for your own calls, until Ctrl-C")
    parser.add_argument("--config", default="demo.yaml", metavar="FILE", help="settings (default: demo.yaml)")
    parser.add_argument("--fixture", default=_CALL, metavar="DIR", help=f"the recorded call (default: {_CALL})")
    parser.add_argument("--sip-port", type=int, metavar="N", help="instead of the settings' SIP port; 0: any free one")
    parser.add_argument(
        "--http-port", type=int, metavar="N", help="instead of the settings' HTTP port; 0: any free one"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from agent.testing.fixture_format import load_fixture
    from agent.testing.fixture_yaml import FixtureError
    from gateway import logs
    from gateway.commands.serve import load
    from gateway.config import ConfigError

    try:
        fixture = load_fixture(args.fixture)
        settings, dialplan = load(args.config)
        settings = on_ports(settings, args.sip_port, args.http_port)
    except (ConfigError, FixtureError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    logs.configure("warning", settings.log.format)
    from gateway.app import Gateway

    try:
        return asyncio.run(_demo(lambda: Gateway(settings, dialplan), fixture, stay=args.stay))
    except asyncio.CancelledError:
        print("the demo was told to stop; its call has been ended", file=sys.stderr)
        return 1


def on_ports(settings: Settings, sip_port: int | None, http_port: int | None) -> Settings:
    """The settings with other ports. Raises ValueError for invalid ports."""
    from dataclasses import replace

    for port in (sip_port, http_port):
        if port is not None and not 0 <= port <= 65535:
            raise ValueError(f"invalid port {port}")
    changes: dict[str, Any] = {}
    if sip_port is not None:
        listen = tuple(replace(address, port=sip_port) for address in settings.sip.listen)
        changes["sip"] = settings.sip.model_copy(update={"listen": listen})
    if http_port is not None:
        changes["http"] = settings.http.model_copy(update={"listen": replace(settings.http.listen, port=http_port)})
    return settings.model_copy(update=changes)


async def _demo(make_gateway: Any, fixture: Fixture, *, stay: bool) -> int:
    from gateway.commands.serve import start_gateway
    from gateway.live import follow
    from gateway.record import CallClosed
    from gateway.sip_replay import OwnGateway, replay_over_sip
    from gateway.terminal import Terminal

    terminal = Terminal()
    gateway: Gateway = make_gateway()
    closed: list[CallClosed] = []
    serving = False

    def keep(message: RecordMessage) -> None:
        if isinstance(message, CallClosed):
            closed.append(message)

    running = asyncio.current_task()
    assert running is not None
    # The call is ended with BYE however the demo ends.
    on_stop_signals(asyncio.get_running_loop(), running.cancel, running.cancel)
    terminal.line("starting the gateway")
    if not await start_gateway(gateway):
        return 1
    follow(gateway, terminal)
    gateway.listeners.append(keep)
    try:
        result = await replay_over_sip(fixture, OwnGateway(gateway))
        gateway.listeners.remove(keep)
        _verdict(terminal, result)
        if closed and closed[0].recording is not None and closed[0].recording.path:
            terminal.line(f"recording (stereo, caller left): {gateway.settings.recordings / closed[0].recording.path}")
        if stay:
            _invite(terminal, gateway, fixture)
            serving = True
            await gateway.serve()
        return 0 if result.passed else 1
    finally:
        if not serving:
            gateway.stop()
            gateway.stop()
            await gateway.drain()


def _verdict(terminal: Terminal, result: ReplayResult) -> None:
    if result.passed:
        terminal.line(f"the conversation went as recorded in {result.fixture.file}")
        return
    terminal.line("the conversation did not go as recorded:", "alarm")
    for line in result.report().splitlines():
        terminal.line(line, "alarm")


def _invite(terminal: Terminal, gateway: Gateway, fixture: Fixture) -> None:
    """What to do next."""
    addresses = {address.transport: address for address in gateway.edge.addresses}
    address = addresses.get("udp") or next(iter(addresses.values()))
    host = gateway.settings.public_address
    terminal.line(f"call it from a softphone: sip:{fixture.number}@{host}:{address.port}")
    terminal.line(f"calls, recordings, metrics: {gateway.api.url}/  (Ctrl-C ends)")
