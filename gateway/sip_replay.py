"""Replays recorded calls over real SIP and RTP, in real time, against a running gateway, or one started for it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from agent.testing.caller import TimelineCaller
from agent.testing.expectation import Deviation, compare
from agent.testing.fixture import Fixture
from agent.testing.happened import Happened, from_record
from agent.testing.personas import find_file
from agent.testing.replay import ReplayResult
from gateway.app import Gateway
from gateway.config import ConfigError, Problem, Settings, load_settings
from gateway.dialplan import Dialplan, Entry, PersonaRef, Rule
from gateway.dialplan.calendar import HolidayCalendar
from gateway.dialplan.model import PlanFile
from gateway.dialplan.numbers import NumberPattern
from gateway.record import CallClosed, CallRecord
from gateway.recorded_caller import CallWatch, play_timeline
from gateway.rest_client import RestClient
from telephony.phone import CallFailed, Phone, PhoneCall
from telephony.phone.analysis import on_time_axis, sent_packets

__all__ = ["OwnGateway", "SipTarget", "own_gateway", "replay_over_sip"]

ANSWER_LIMIT_S = 10.0
_RECORD_LIMIT_S = 15.0  # the closing record arrives within seconds of the end
_RTP_PORTS = 40


@dataclass(frozen=True, slots=True)
class SipTarget:
    """A running gateway. `host` as in `127.0.0.1:5060`; `rest`: where its records are asked for."""

    host: str
    rest: RestClient
    transport: str = "udp"


@dataclass(frozen=True, slots=True)
class OwnGateway:
    """A gateway that was started for a replay, in this process."""

    gateway: Gateway

    @property
    def host(self) -> str:
        address = next(each for each in self.gateway.edge.addresses if each.transport == "udp")
        return f"{address.host}:{address.port}"


@dataclass(frozen=True, slots=True)
class _Outcome:
    events: Sequence[Happened] = ()
    ended_by: str = ""
    end_reason: str = ""
    problem: str = ""


async def replay_over_sip(fixture: Fixture, target: SipTarget | OwnGateway) -> ReplayResult:
    """Call the fixture's number and follow its timeline. Judged by the gateway's own record of the call.

    Raises RestError if a running gateway's records are not available.
    """
    loop = asyncio.get_running_loop()
    started = loop.time()
    placed: list[PhoneCall] = []
    watch = CallWatch(lambda: placed[0].call_id if placed else "")
    if isinstance(target, OwnGateway):
        target.gateway.listeners.append(watch)
    caller: TimelineCaller | None = None
    audio = (b"", b"")
    async with Phone() as phone:
        try:
            call = await phone.dial(f"sip:{fixture.number}@{target.host}", caller=fixture.caller or "anonymous")
            placed.append(call)
            async with asyncio.timeout(ANSWER_LIMIT_S):
                await call.answered()
            caller = await play_timeline(call, fixture)
            await call.wait_bye()
            audio = _stereo(call)
        except CallFailed as error:
            outcome = _Outcome(problem=f"the call was not answered: {error}")
        except TimeoutError:
            outcome = _Outcome(
                problem=f"the call was not answered: nothing for {ANSWER_LIMIT_S:g} s from {target.host}"
            )
        else:
            outcome = await (_from_rest(target, call) if isinstance(target, SipTarget) else _from_watch(watch))
    if isinstance(target, OwnGateway):
        target.gateway.listeners.remove(watch)
    return ReplayResult(
        fixture=fixture,
        events=tuple(outcome.events),
        ended_by=outcome.ended_by,
        end_reason=outcome.end_reason,
        problems=_problems(fixture, outcome, caller),
        audio=audio,
        took_s=loop.time() - started,
    )


def _problems(fixture: Fixture, outcome: _Outcome, caller: TimelineCaller | None) -> tuple[Deviation, ...]:
    if outcome.problem:
        return (Deviation(0, outcome.problem),)
    problems = list(compare(fixture.expect, outcome.events, outcome.ended_by, outcome.end_reason))
    step = caller.waiting_for if caller is not None else None
    if problems and step is not None:
        problems.append(Deviation(step.line, "the call ended before the caller reached this step"))
    return tuple(problems)


def _stereo(call: PhoneCall) -> tuple[bytes, bytes]:
    """What the phone sent and what it heard."""
    start = call.answered_at or 0.0
    said = on_time_axis(sent_packets(call.audio.sent, call.audio.sent_at), start)
    heard = on_time_axis(call.received, start)
    longest = max(len(said), len(heard))
    return said.ljust(longest, b"\0"), heard.ljust(longest, b"\0")


async def _from_watch(watch: CallWatch) -> _Outcome:
    try:
        async with asyncio.timeout(_RECORD_LIMIT_S):
            end = await asyncio.shield(watch.end)
    except TimeoutError:
        return _Outcome(from_record(watch.events), problem=f"no closing record arrived within {_RECORD_LIMIT_S:g} s")
    events = from_record(watch.events)
    if isinstance(end, CallClosed):
        return _Outcome(events, end.ended_by, end.end_reason)
    if isinstance(end, CallRecord):
        return _Outcome(events, problem=f"the call was refused with {end.sip_status}: {end.refused_by}")
    return _Outcome(events, "system", "worker_lost", problem="the call's worker died")


async def _from_rest(target: SipTarget, call: PhoneCall) -> _Outcome:
    """The record, once it has an outcome."""
    record: dict[str, Any] | None = None
    for _ in range(round(_RECORD_LIMIT_S / 0.25)):
        record = await asyncio.to_thread(target.rest.call_by_sip_id, call.call_id)
        if record is not None and record["outcome"] is not None:
            found = await asyncio.to_thread(target.rest.call, record["call_id"])
            return _Outcome(from_record(found["events"]), found["ended_by"] or "", found["end_reason"])
        await asyncio.sleep(0.25)
    state = "is not on record" if record is None else "has no outcome on record"
    return _Outcome(problem=f"the call {state} after {_RECORD_LIMIT_S:g} s")


# --- a gateway for the replay -------------------------------------------------------------------------------------


@asynccontextmanager
async def own_gateway(fixture: Fixture) -> AsyncIterator[OwnGateway]:
    """A gateway for this fixture, on free ports, with its records in a temporary folder. Raises ConfigError, and what
    `Gateway.start` raises."""
    with TemporaryDirectory(prefix="trunkline-replay-") as folder:
        settings = _settings(fixture, Path(folder))
        gateway = Gateway(settings, _dialplan(fixture, settings))
        await gateway.start()
        try:
            yield OwnGateway(gateway)
        finally:
            gateway.stop()
            gateway.stop()
            await gateway.drain()


def _settings(fixture: Fixture, folder: Path) -> Settings:
    """As the root demo.yaml, but on free ports, and heard and spoken as `trunkline replay` does it."""
    first = _free_udp_ports(_RTP_PORTS)
    session = "".join(f"\n  {name}: {value}" for name, value in fixture.session.items())
    text = f"""\
sip:
  listen: ["udp://127.0.0.1:0", "tcp://127.0.0.1:0"]
  public_address: 127.0.0.1
  trunks: [{{name: replay, allow: ["127.0.0.0/8"], region: US}}]
rtp: {{ports: {first}-{first + _RTP_PORTS - 1}}}
http: {{listen: "127.0.0.1:0"}}
workers: 1
store: "sqlite:///{folder}/calls.db"
recordings: "{folder}/recordings"
speech: {{stt: [pocketsphinx], tts: [espeak]}}
dialplans: ["{_dialplan_file(fixture) or folder / "none.yaml"}"]
drain_s: 0
log: {{level: warning}}
{f"session:{session}" if session else ""}
"""
    return load_settings(folder / "settings.yaml", text)


def _dialplan_file(fixture: Fixture) -> Path | None:
    """The fixture's dialplan. None if the fixture has a `time`: another rule might apply now."""
    return find_file(fixture.dialplan, fixture.folder) if fixture.dialplan and fixture.time is None else None


def _dialplan(fixture: Fixture, settings: Settings) -> Dialplan:
    """The fixture's dialplan, or one in which its number reaches its persona."""
    if _dialplan_file(fixture) is not None:
        return Dialplan.load(settings.dialplans, settings)
    name, _, class_name = fixture.persona.rpartition(":")
    file = find_file(name, fixture.folder)
    if file is None:
        raise ConfigError([Problem(str(fixture.file), 0, "persona", f"there is no {name}")])
    where = f"{fixture.file}:1"
    rule = Rule(where, "always", PersonaRef(file, class_name, where))
    plan = PlanFile(str(fixture.file), None, settings.sip.trunks[0].region, HolidayCalendar())
    return Dialplan((Entry(NumberPattern(fixture.number), (rule,), where, plan),))


def _free_udp_ports(count: int) -> int:
    """The first of `count` consecutive ports that are free now."""
    for base in range(30000, 60000, count):
        sockets: list[socket.socket] = []
        try:
            for port in range(base, base + count):
                sockets.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                sockets[-1].bind(("127.0.0.1", port))
        except OSError:
            continue
        finally:
            for each in sockets:
                each.close()
        return base
    raise OSError(f"no {count} consecutive free UDP ports")
