"""What goes wrong in transfers, with real phones: the caller always has somebody, and nothing is left."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway_process import RunningGateway, until
from test_gateway_further_legs import CUSTOMER_HZ, HUMAN_HZ, heard_after_ms, hears_the_agent, trunks
from test_gateway_outbound import ask

from telephony.media.tones import tone
from telephony.phone import Phone, PhoneCall
from telephony.phone.dialog import respond
from telephony.phone.signaling import CallEnded

StartGateway = Callable[..., RunningGateway]
TALKER = "+15550101"
AT_ONCE = 3  # scenes, of two legs and more each
TEXT = {"by": "text", "text": "Somebody asks about an invoice, and would like to know when it is due."}


@dataclass
class Scene:
    """One caller with the agent, and the phones that may be called."""

    gateway: RunningGateway
    caller: Phone
    call: PhoneCall
    call_id: str
    desks: tuple[Phone, Phone]

    def at(self, desk: int = 0) -> str:
        return f"sip:desk{desk}@127.0.0.1:{self.desks[desk].address[1]}"

    async def post(self, body: Mapping[str, Any], verb: str = "transfer") -> tuple[int, dict[str, Any]]:
        status, answer, _ = await ask(self.gateway, "POST", f"/v1/calls/{self.call_id}/{verb}", dict(body))
        return status, answer

    async def transfer(self, **how: Any) -> None:
        body = {"afterwards": "agent", "ring_timeout_s": 3, **how}
        body["to"] = how["to"] if "to" in how else self.at()
        if "warm" in how:
            body["warm"] = {"detect": False, **how["warm"]}
        else:
            body["refer"] = "never"
        status, answer = await self.post(body)
        assert status == 202, answer

    async def rung(self, desk: int = 0) -> PhoneCall:
        return await asyncio.wait_for(self.desks[desk].incoming(), 10)

    async def answered(self, desk: int = 0) -> PhoneCall:
        call = await self.rung(desk)
        await call.ring()
        await call.answer()
        await until(lambda: len(call.received) > 5, what="audio at the desk")
        return call

    async def has_agent(self) -> None:
        """Once it is known what became of the transfer."""

        def known() -> bool:
            found = self.gateway.get(f"/v1/calls/{self.call_id}")["transfers"]
            return bool(found and found[0]["outcome"])

        await until(known, 12, what="the outcome")
        await asyncio.sleep(0.3)  # for sound that is under way
        await hears_the_agent(self.call, asyncio.get_running_loop().time())

    async def talk(self, human: PhoneCall) -> None:
        """Caller and human hear each other."""
        await heard_after_ms(human, self.call, HUMAN_HZ)
        await heard_after_ms(self.call, human, CUSTOMER_HZ)


Script = Callable[[Scene], Awaitable[None]]


@dataclass(frozen=True)
class Case:
    name: str
    script: Script
    outcomes: tuple[str, ...]  # any of them
    reason: str = field(default="")  # a part of the transfer's


# --- whom nobody reaches ----------------------------------------------------------------------------------------------


def refused_with(status: int, phrase: str, contact: str = "") -> Script:
    async def script(scene: Scene) -> None:
        await scene.transfer()
        human = await scene.rung()
        if contact:
            asked = human.asked
            assert asked is not None
            elsewhere = {"Contact": f"<{contact.format(port=scene.desks[1].address[1])}>"}
            scene.desks[0].reply(asked, respond(asked, status, phrase, to_tag=human.dialog.tag, headers=elsewhere))
            human.end(CallEnded("us", asyncio.get_running_loop().time(), status, phrase))
        else:
            await human.reject(status, phrase)
        await scene.has_agent()
        assert scene.desks[1]._incoming.empty(), "nobody else is called"

    return script


async def no_answer(scene: Scene) -> None:
    await scene.transfer(ring_timeout_s=1)
    human = await scene.rung()
    await human.ring()
    assert (await asyncio.wait_for(human.ended, 4)).by == "peer"
    await scene.has_agent()


async def phone_that_has_gone(scene: Scene) -> None:
    to = scene.at()
    await scene.desks[0].close()
    await scene.transfer(to=to, ring_timeout_s=1)
    await scene.has_agent()


# --- who answers and is gone ------------------------------------------------------------------------------------------


def gone_at_once(warm: Mapping[str, Any] | None) -> Script:
    async def script(scene: Scene) -> None:
        await scene.transfer(**({} if warm is None else {"warm": warm}))
        human = await scene.rung()
        await human.answer()
        await human.hang_up()
        await scene.has_agent()

    return script


async def silent_line(scene: Scene) -> None:
    """It has answered, and not a packet comes from it."""
    await scene.transfer()
    human = await scene.rung()
    await human.answer()
    human.audio.begin("inactive")
    assert (await asyncio.wait_for(human.wait_bye(), 12)).by == "peer"
    await scene.has_agent()


async def fax(scene: Scene) -> None:
    await scene.transfer(warm={"detect": True})
    human = await scene.answered()
    human.play(tone(2100, 4000))
    assert (await asyncio.wait_for(human.wait_bye(), 12)).by == "peer"
    await scene.has_agent()


# --- races ------------------------------------------------------------------------------------------------------------


async def accepts_as_the_caller_hangs_up(scene: Scene) -> None:
    await scene.transfer(warm={"accept": True})
    human = await scene.answered()
    await asyncio.sleep(0.5)
    await asyncio.gather(human.send_digits("1"), scene.call.hang_up(), return_exceptions=True)
    assert (await asyncio.wait_for(human.wait_bye(), 3)).by == "peer"


async def answers_as_the_caller_hangs_up(scene: Scene) -> None:
    await scene.transfer()
    human = await scene.rung()
    await human.ring()
    await asyncio.sleep(0.3)
    await asyncio.gather(human.answer(), scene.call.hang_up())
    assert (await asyncio.wait_for(human.wait_bye(), 3)).by == "peer"


def two_at_once(*, accept: bool) -> Script:
    async def script(scene: Scene) -> None:
        await scene.transfer(warm={"also": [scene.at(1)], "at_once": True, "accept": accept})
        one, two = await asyncio.gather(scene.rung(0), scene.rung(1))
        await asyncio.gather(one.answer(), two.answer())
        if accept:
            await asyncio.sleep(0.5)
            await asyncio.gather(one.send_digits("1"), two.send_digits("1"))
        either = {asyncio.ensure_future(each.wait_bye()): each for each in (one, two)}
        done, waiting = await asyncio.wait(either, timeout=12, return_when=asyncio.FIRST_COMPLETED)
        assert len(done) == 1, "one of them has the caller"
        await scene.talk(either[waiting.pop()])
        await scene.call.hang_up()
        await asyncio.gather(*either)

    return script


# --- hold and keys ----------------------------------------------------------------------------------------------------


async def caller_holds_while_it_rings(scene: Scene) -> None:
    await scene.transfer()
    human = await scene.rung()
    await human.ring()
    await scene.call.hold()
    await scene.call.send_digits("5")
    await human.answer()
    await asyncio.sleep(0.3)
    await scene.call.resume()
    await scene.talk(human)
    await scene.call.hang_up()


async def human_holds_while_asked(scene: Scene) -> None:
    await scene.transfer(warm={"accept": True, "summary": TEXT})
    human = await scene.answered()
    await human.hold()
    await human.resume()
    await human.send_digits("5")  # asks once more
    await human.hold("inactive")
    await human.resume()
    await human.send_digits("11")  # accepts, and has heard enough
    await scene.talk(human)
    await scene.call.hang_up()


async def both_hold_in_turn_while_they_talk(scene: Scene) -> None:
    await scene.transfer()
    human = await scene.answered()
    for holds in (human, scene.call):
        await holds.hold()
        await scene.call.send_digits("1")
        await human.send_digits("2")
        await holds.resume()
        await scene.talk(human)
    await human.hang_up()
    await scene.has_agent()


CASES = (
    Case("480", refused_with(480, "Temporarily Unavailable"), ("no_answer",)),
    Case("404", refused_with(404, "Not Found"), ("failed",), "Not Found"),
    Case("503", refused_with(503, "Service Unavailable"), ("failed",)),
    Case("302 to another phone", refused_with(302, "Moved", "sip:desk0@127.0.0.1:{port}"), ("failed",), "not followed"),
    Case("302 to a stranger", refused_with(302, "Moved", "sip:desk@203.0.113.9"), ("failed",), "not followed"),
    Case("486", refused_with(486, "Busy Here"), ("busy",)),
    Case("603", refused_with(603, "Decline"), ("declined",)),
    Case("no answer", no_answer, ("no_answer",)),
    Case("a phone that has gone", phone_that_has_gone, ("no_answer", "failed")),
    Case("answered and gone", gone_at_once(None), ("transferred",)),
    Case("answered and gone, warm", gone_at_once({"accept": True}), ("declined",)),
    Case("answered and gone, in the summary", gone_at_once({"summary": TEXT}), ("declined",)),
    Case("answered without media", silent_line, ("transferred",)),
    Case("fax", fax, ("failed",), "fax"),
    Case("accepts as the caller hangs up", accepts_as_the_caller_hangs_up, ("transferred", "cancelled")),
    Case("answers as the caller hangs up", answers_as_the_caller_hangs_up, ("transferred", "cancelled")),
    Case("two answer at once", two_at_once(accept=False), ("transferred",)),
    Case("two accept at once", two_at_once(accept=True), ("transferred",)),
    Case("the caller holds while it rings", caller_holds_while_it_rings, ("transferred",)),
    Case("the human holds while asked", human_holds_while_asked, ("transferred",)),
    Case("both hold while they talk", both_hold_in_turn_while_they_talk, ("transferred",)),
)


async def play(gateway: RunningGateway, case: Case, number: int) -> None:
    async with Phone() as caller, Phone() as one, Phone() as two:
        call = await caller.call(gateway.uri(TALKER), caller=f"+155520003{number:02}")
        await until(lambda: len(call.received) > 20, what="audio")
        call_id = (await until(lambda: gateway.attempts(call.call_id), what="an open record"))[0]["call_id"]
        scene = Scene(gateway, caller, call, call_id, (one, two))
        await case.script(scene)
        await call.hang_up()
        record = await gateway.record(call.call_id)
        (transfer,) = record["transfers"]
        assert transfer["outcome"] in case.outcomes, transfer
        assert case.reason in transfer["reason"], transfer
        assert all(leg["outcome"] for leg in record["legs"]), record["legs"]
        phones = (call, *(each for phone in (one, two) for each in phone._calls.values()))
        assert all(each.ended.done() for each in phones), "no phone rings or talks on"


async def test_whatever_goes_wrong(start_gateway: StartGateway) -> None:
    async with Phone() as nobody:
        gateway = start_gateway(sip=trunks(nobody), calls={"first_media_s": 3.0, "media_timeout_s": 4.0}, workers=3)
        slots = gateway.figures()["slots"]
        turn = asyncio.Semaphore(AT_ONCE)
        failed: list[str] = []

        async def one(case: Case, number: int) -> None:
            async with turn:
                try:
                    await asyncio.wait_for(play(gateway, case, number), 40)
                except Exception as error:  # noqa: BLE001  (all of them are to be seen)
                    failed.append(f"{case.name}: {type(error).__name__} {error}")

        await asyncio.gather(*(one(case, number) for number, case in enumerate(CASES)))
        assert not failed, "\n".join(failed)
        await gateway.idle()
        await gateway.slots_free(slots, 5)
        assert gateway.complaints() == []
        pids = gateway.worker_pids().values()
        places = [path for pid in pids for path in Path(tempfile.gettempdir()).glob(f"trunkline-legs-{pid}-*/*")]
        assert len(places) <= len(pids), f"one socket a worker at most: {places}"
        gateway.stop()
        assert not [path for pid in pids for path in Path(tempfile.gettempdir()).glob(f"trunkline-legs-{pid}-*")]


async def test_a_transfer_to_oneself_is_refused(start_gateway: StartGateway) -> None:
    async with Phone() as caller, Phone() as called:
        gateway = start_gateway(sip=trunks(called, destinations=["+1555"]))
        call = await caller.call(gateway.uri(TALKER), caller="+15557009")
        await until(lambda: len(call.received) > 20, what="audio")
        call_id = (await until(lambda: gateway.attempts(call.call_id), what="an open record"))[0]["call_id"]
        scene = Scene(gateway, caller, call, call_id, (called, called))
        for to, also, why in (
            ("+15557009", None, "caller's own number"),
            ("sip:+15557009@127.0.0.1", None, "caller's own number"),
            (TALKER, None, "number that this call came in on"),
            ("+15557001", ["+15557009"], "caller's own number"),
        ):
            body = {"to": to} if also is None else {"to": to, "warm": {"also": also}}
            status, problem = await scene.post(body)
            assert (status, problem["type"]) == (422, "urn:trunkline:problem:invalid_target"), body
            assert why in problem["detail"]
        await call.hang_up()
        record = await gateway.record(call.call_id)
        assert record["transfers"] == []
        await gateway.idle()
