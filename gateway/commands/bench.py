"""`trunkline bench`: place N simultaneous calls and measure what a caller would notice."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.bench.answering.arguments import CALLS, add_arguments

if TYPE_CHECKING:
    from gateway.bench.caller import Clip
    from gateway.bench.figures import RunFigures
    from gateway.bench.processes import ProcessTree

__all__ = ["add_parser", "recorded_speech", "run"]

DEFAULT_CONFIG = "bench/gateway.yaml"
OUTBOUND_CONFIG = "bench/phones.yaml"
OUTBOUND_PORT, OUTBOUND_PERSONA = 5090, "bench.Caller"
DEFAULT_NUMBER = "+15550199"
SIMULTANEOUS = "1,8,20"
PHRASES = (
    ("en-us", "I would like to book an appointment for tomorrow"),
    ("en-gb", "could you tell me when you open on Monday please"),
    ("en-us+f3", "what about the day after that, in the afternoon"),
)


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser("bench", help="measure a gateway", description=__doc__)
    parser.add_argument(
        "what",
        nargs="?",
        choices=("inbound", "outbound", "dtmf", "answering"),
        default="inbound",
        help="outbound: calls that it places; dtmf: keys, answering: who has answered, both without a gateway",
    )
    parser.add_argument(
        "--config", metavar="FILE", help=f"settings of the gateway to start: {DEFAULT_CONFIG}, {OUTBOUND_CONFIG}"
    )
    parser.add_argument("--target", metavar="HOST:PORT", help="measure a running gateway (see --pid)")
    parser.add_argument("--pid", type=int, help="with --target: its process ID, for CPU and memory")
    parser.add_argument("--number", default=DEFAULT_NUMBER, help="the number to call")
    parser.add_argument(
        "--calls",
        metavar="N[,N...]",
        help=f"simultaneous calls; one run per number: default {SIMULTANEOUS}; answering: how many: default {CALLS}",
    )
    parser.add_argument("--rounds", type=int, default=8, help="how often each caller speaks")
    parser.add_argument(
        "--voice", choices=("espeak", "hibari"), default="espeak", help="whose voice the callers have: default espeak"
    )
    parser.add_argument(
        "--in-turn", action="store_true", help="callers speak one after the other, and not all at the same moments"
    )
    parser.add_argument("--per-second", type=float, default=20.0, metavar="N", help="outbound: new calls a second")
    parser.add_argument("--seconds", type=float, default=60.0, metavar="N", help="outbound: for so long")
    parser.add_argument("--hours", type=float, default=1.0, metavar="N", help="dtmf: how much speech to try")
    parser.add_argument("--speech", type=Path, metavar="FOLDER", help="dtmf: WAV files (8 kHz) to begin with")
    parser.add_argument("--json", metavar="FILE", help="write the figures there (-: standard output)")
    add_arguments(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    try:
        usual = str(CALLS) if args.what == "answering" else SIMULTANEOUS
        counts = [int(count) for count in (args.calls or usual).split(",")]
        if min(counts) < 1 or args.rounds < 1:
            raise ValueError("calls and rounds must be at least 1")
    except ValueError as error:
        print(f"trunkline bench: {error}", file=sys.stderr)
        return 2
    if args.what == "dtmf":
        return asyncio.run(_dtmf(args))
    if args.what == "answering":
        from gateway.bench.answering import command

        return command.run(args, counts[0])
    args.config = args.config or (OUTBOUND_CONFIG if args.what == "outbound" else DEFAULT_CONFIG)
    if args.target is None and not Path(args.config).is_file():
        print(f"trunkline bench: no such file: {args.config}; run it from the repository", file=sys.stderr)
        return 2
    return asyncio.run(_outbound(args) if args.what == "outbound" else _bench(args, counts))


async def _bench(args: argparse.Namespace, counts: list[int]) -> int:
    from gateway.bench.figures import table
    from gateway.bench.processes import ProcessTree

    gateway = None
    try:
        if args.target is None:
            gateway, target = await _start_gateway(args.config)
            tree: ProcessTree | None = ProcessTree(gateway.pid)
        else:
            target, tree = args.target, ProcessTree(args.pid) if args.pid else None
        clips = await recorded_speech(args.voice)
        runs = []
        for count in counts:
            print(f"{count} simultaneous call{'s' if count > 1 else ''} ...", file=sys.stderr, flush=True)
            runs.append(await _run(target, args.number, count, args.rounds, clips, tree, in_turn=args.in_turn))
    except RuntimeError as error:
        print(f"trunkline bench: {error}", file=sys.stderr)
        return 1
    finally:
        if gateway is not None and gateway.returncode is None:
            gateway.terminate()
            await gateway.wait()
    figures = json.dumps([figures.to_dict() for figures in runs], indent=2)
    if args.json == "-":
        print(figures)
    else:
        print(table(runs))
        if args.json:
            Path(args.json).write_text(figures + "\n")  # noqa: ASYNC240 - nothing else is running
    return 0 if all(figures.failed == 0 for figures in runs) else 1


async def _outbound(args: argparse.Namespace) -> int:
    from gateway.bench.outbound import measure_outbound, outbound_table
    from gateway.config import load_settings

    gateway, _ = await _start_gateway(args.config)
    try:
        http = load_settings(args.config).http.listen
        url = f"http://{http.host}:{http.port}"
        figures = await measure_outbound(url, OUTBOUND_PORT, OUTBOUND_PERSONA, args.per_second, args.seconds)
    finally:
        gateway.terminate()
        await gateway.wait()
    if args.json == "-":
        print(json.dumps(figures.to_dict(), indent=2))
    else:
        print(outbound_table(figures))
        if args.json:
            Path(args.json).write_text(json.dumps(figures.to_dict(), indent=2) + "\n")  # noqa: ASYNC240 - as above
    return 1 if figures.failed else 0


async def _dtmf(args: argparse.Namespace) -> int:
    from gateway.bench.dtmf import dtmf_table, measure

    figures = await measure(args.hours, args.speech)
    if args.json == "-":
        print(json.dumps(figures.to_dict(), indent=2))
    else:
        print(dtmf_table(figures))
        if args.json:
            Path(args.json).write_text(json.dumps(figures.to_dict(), indent=2) + "\n")  # noqa: ASYNC240 - as above
    return 0 if figures.good else 1


async def _start_gateway(config: str) -> tuple[asyncio.subprocess.Process, str]:
    """A gateway in its own process, so that its usage can be told from that of the measurement."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway.cli", "serve", "--config", config, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    line = (await process.stdout.readline()).decode()
    udp = next((word for word in line.replace(",", " ").split() if word.startswith("udp://")), None)
    if udp is None:
        await process.wait()
        raise RuntimeError("the gateway did not start; see its messages above")
    return process, udp.removeprefix("udp://")


async def recorded_speech(voice: str = "espeak") -> list[Clip]:
    """The callers' clips: offline speech through mu-law, as on a telephone. `voice`: "espeak", whose sentences begin
    at once, so that latencies compare with earlier ones; or "hibari", for recognisers that learned from people and
    understand half of espeak-ng's words. Raises ProviderUnavailable for one that is not installed."""
    from agent.clock import ThreadOffload
    from agent.providers.base import TTS
    from agent.providers.espeak import EspeakTTS
    from agent.providers.hibari import HibariTTS
    from gateway.bench.caller import speech_clip
    from telephony.media.g711 import decode_ulaw, encode_ulaw

    pleasant = voice == "hibari"
    tts: TTS = HibariTTS(ThreadOffload()) if pleasant else EspeakTTS(ThreadOffload())
    await tts.warm()
    clips = []
    for name, phrase in PHRASES:
        spoken = tts.synthesize(phrase, voice="" if pleasant else name, language="en")
        clips.append(speech_clip(decode_ulaw(encode_ulaw(b"".join([audio.pcm async for audio in spoken])))))
    return clips


async def _run(
    target: str, number: str, count: int, rounds: int, clips: list[Clip], tree: ProcessTree | None, *, in_turn: bool
) -> RunFigures:
    from gateway.bench.caller import SETTLE_S, measure_call, round_s
    from gateway.bench.figures import CallFigures, RunFigures
    from telephony.phone import CallFailed, Phone

    idle = tree.usage(time.monotonic()) if tree else None
    apart_s = round_s(clips) / count if in_turn else 0.0
    async with Phone() as phone:

        async def one(index: int) -> CallFigures | CallFailed:
            mine = clips[index % len(clips) :] + clips[: index % len(clips)]
            try:
                uri, caller = f"sip:{number}@{target}", f"+1555123{index:04}"
                return await measure_call(phone, uri, mine, rounds, caller, later_s=index * apart_s)
            except CallFailed as error:
                return error

        calls = [asyncio.create_task(one(index)) for index in range(count)]
        await asyncio.sleep(SETTLE_S + count * apart_s)
        before = tree.usage(time.monotonic()) if tree else None
        talking_s = rounds * round_s(clips) - 2 * SETTLE_S - count * apart_s
        await asyncio.wait(calls, timeout=max(talking_s, SETTLE_S))
        after = tree.usage(time.monotonic()) if tree else None
        results = await asyncio.gather(*calls)
    for failure in {str(result) for result in results if isinstance(result, CallFailed)}:
        print(f"a call failed: {failure}", file=sys.stderr)
    nan = float("nan")
    return RunFigures.of(
        count,
        [result for result in results if isinstance(result, CallFigures)],
        cpu_percent=100 * (after.cpu_s - before.cpu_s) / (after.at - before.at) if before and after else nan,
        pss_mib=after.pss_mib if after else nan,
        pss_idle_mib=idle.pss_mib if idle else nan,
    )
