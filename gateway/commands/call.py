"""`trunkline call`: a real SIP call to a running gateway, with a recorded caller, keys, or a live one; with `--to` a
call that the gateway places."""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agent.testing.fixture import Fixture
    from telephony.phone import PhoneCall

__all__ = ["add_parser", "run"]

_NUMBER = r"\+?[\w*#.-]+"
_PATIENCE_S = 60.0  # for an agent that never says goodbye after everything has been said


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "call",
        help="call a running gateway over SIP",
        description="Call a gateway over SIP and RTP. Exit code 0: answered; 1: not answered; 2: bad input. "
        "A live caller on Linux: arecord -q -t raw -f S16_LE -r 8000 | trunkline call +15550123 --live - | "
        "aplay -q -t raw -f S16_LE -r 8000",
    )
    parser.add_argument("callee", metavar="NUMBER_OR_URI", nargs="?", help="+15550123, or sip:+15550123@host:port")
    placed = parser.add_argument_group("have the gateway call")
    placed.add_argument("--to", metavar="N", help="the number to call, E.164")
    placed.add_argument("--persona", metavar="NAME", help="who talks, as the dialplan's `outbound` lists it")
    placed.add_argument("--var", action="append", default=[], metavar="NAME=VALUE", help="a variable for the persona")
    placed.add_argument("--trunk", metavar="NAME", help="default: those of the number's route")
    placed.add_argument(
        "--extension", default="", metavar="KEYS", help="keys for whoever answers, such as WW1234# (w: 0.5 s, W: 1 s)"
    )
    placed.add_argument("--private", action="store_true", help="hide the number that it comes from")
    placed.add_argument(
        "--detect", action=argparse.BooleanOptionalAction, help="find out who answers; see docs/answering.md"
    )
    placed.add_argument("--message", metavar="TEXT", help="say this to a voicemail: a text, or file:RECORDING.wav")
    placed.add_argument("--screener", metavar="TEXT", help="say this to a call screener: who calls and why")
    placed.add_argument("--key", metavar="KEY", help="an API key of the gateway; default: TRUNKLINE_API_KEY")
    placed.add_argument("--url", default="http://127.0.0.1:8080", help="the gateway's API")
    parser.add_argument("--target", default="127.0.0.1:5060", metavar="HOST:PORT", help="where a NUMBER is called")
    parser.add_argument("--from", dest="caller", default="", metavar="N", help="the caller's number")
    parser.add_argument("--tcp", action="store_true", help="SIP over TCP")
    said = parser.add_mutually_exclusive_group()
    said.add_argument("--fixture", metavar="DIR", help="the caller of a recorded call")
    said.add_argument("--play", metavar="FILE.wav", help="play this after the greeting (8 kHz mono)")
    said.add_argument(
        "--live", choices=["-"], help="8 kHz 16-bit mono from standard input; received audio goes to standard output"
    )
    parser.add_argument("--dtmf", default="", metavar="KEYS", help="keys to press once the agent has spoken")
    parser.add_argument("--wav", metavar="OUT.wav", help="write both sides (stereo, ours left)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from agent.testing.fixture_yaml import FixtureError
    from telephony.media.wav import BadWavFile

    if bool(args.to) == bool(args.callee):
        print("trunkline call: give either a number to call the gateway at, or --to", file=sys.stderr)
        return 2
    if args.to:
        from gateway.commands.place_call import place_call

        with suppress(KeyboardInterrupt):
            return asyncio.run(place_call(args))
        return 1
    try:
        uri = _uri(args.callee, args.target)
        fixture = None if args.live else _script(args)
    except (FixtureError, BadWavFile, ValueError, OSError) as error:
        print(f"trunkline call: {error}", file=sys.stderr)
        return 2
    return asyncio.run(_call(uri, fixture, args))


def _uri(callee: str, target: str) -> str:
    """Raises ValueError for anything that is neither a number nor a SIP URI."""
    if callee.startswith("sip:"):
        if not re.fullmatch(r"sip:[^@\s]+@[\w.\-\[\]:]+(;[\w=.-]+)*", callee):
            raise ValueError(f"invalid SIP URI {callee!r}; expected something like sip:+15550123@127.0.0.1:5060")
        return _checked(callee)
    if not re.fullmatch(_NUMBER, callee):
        raise ValueError(f"{callee!r} is neither a number nor a SIP URI")
    return _checked(f"sip:{callee}@{target.removeprefix('sip:')}")


def _checked(uri: str) -> str:
    from telephony.sip.uri import parse_uri

    try:
        parse_uri(uri)
    except ValueError as error:
        raise ValueError(f"invalid SIP URI {uri!r}: {error}") from error
    return uri


def _script(args: argparse.Namespace) -> Fixture:
    """What the caller does: the fixture's timeline, or one made from --play and --dtmf. Raises like `run`."""
    from agent.testing.expectation import Expectation
    from agent.testing.fixture import Clip, Digits, Fixture, Step, When
    from agent.testing.fixture_format import load_fixture
    from telephony.media.wav import read_wav

    if args.fixture:
        return load_fixture(args.fixture)
    steps: list[Step] = []
    if args.play:
        steps.append(Step(When("after_agent", 0.8), Clip(args.play, read_wav(args.play))))
    if args.dtmf:
        if not re.fullmatch(r"[0-9*#A-DwW]+", args.dtmf):
            raise ValueError(f"invalid --dtmf {args.dtmf!r}: use 0-9 * # A-D, and w and W (pauses of 0.5 and 1 s)")
        steps.append(Step(When("after_agent", 0.8), Digits(args.dtmf)))
    length = sum(len(step.action.pcm) / 16000 for step in steps if isinstance(step.action, Clip))
    return Fixture(
        folder=Path("call"), description="", number="", persona="", timeline=tuple(steps), expect=Expectation(),
        limit_s=_PATIENCE_S + length,
    )  # fmt: skip


async def _call(uri: str, fixture: Fixture | None, args: argparse.Namespace) -> int:
    from gateway.recorded_caller import play_timeline
    from telephony.phone import CallFailed, Phone

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    async with Phone(transport="tcp" if args.tcp else "udp") as phone:
        caller = args.caller or (fixture.caller if fixture is not None else None) or ""
        try:
            call = await phone.dial(uri, caller=caller)
            say(f"calling {uri}")
            await call.answered()
        except CallFailed as error:
            say(f"not answered: {error}")
            return 1
        say(f"answered after {call.setup_ms:.0f} ms")
        try:
            if fixture is None:
                await _live(call)
            else:
                await play_timeline(call, fixture)
            ended = await call.hang_up()
            say(f"ended by {ended.by}" + (f": {ended.reason}" if ended.reason else ""))
        finally:
            if args.wav:
                _write_wav(call, args.wav, say)
    return 0


def _write_wav(call: PhoneCall, out: str, say: Callable[[str], None]) -> None:
    from telephony.phone.analysis import sent_packets, to_stereo_wav

    sent = sent_packets(call.audio.sent, call.audio.sent_at)
    to_stereo_wav(out, sent, call.received, call.answered_at or 0.0)
    say(f"written: {out}")


async def _live(call: PhoneCall) -> None:
    """Standard input to the call, the call to standard output, until either ends."""
    from telephony.media.frames import FRAME_BYTES
    from telephony.phone.sdp import CODECS

    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=FRAME_BYTES * 50)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer)

    async def speak() -> None:
        while pcm := await reader.read(FRAME_BYTES * 2):
            handle = call.play(pcm + b"\0" * (len(pcm) % 2))
            await handle.done  # a microphone delivers in real time; a file is throttled to the call's pace

    speaking = asyncio.create_task(speak())
    decoders = {codec.payload_type: codec.decode for codec in CODECS.values()}
    position = 0
    while not call.ended.done():
        if speaking.done():
            speaking.result()
            break
        await asyncio.sleep(0.02)
        while position < len(call.received):
            packet = call.received[position]
            position += 1
            if packet.payload_type in decoders and packet.payload:
                sys.stdout.buffer.write(decoders[packet.payload_type](packet.payload))
        sys.stdout.buffer.flush()
    speaking.cancel()
    await asyncio.gather(speaking, return_exceptions=True)
