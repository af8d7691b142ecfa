"""What is posted when a call is over, to a real server on loopback."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from standardwebhooks import Webhook

from gateway.config.summary import SummarySettings
from gateway.record import CallClosed, CallDetail, Outcome, ToolUse, Turn, WorkerLost
from gateway.summaries import SummaryPoster, template_summary
from gateway.summary_words import summary_message
from telephony.call import Direction, EndedBy

NOW = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)


def detail(**changes: Any) -> CallDetail:
    known: dict[str, Any] = {
        "call_id": "c1", "direction": Direction.INBOUND, "trunk": "t", "called": "+15550100", "caller": "+15550123",
        "started_at": NOW, "persona": "clinic.reception", "duration_ms": 83_400, "outcome": Outcome.ANSWERED,
        "ended_by": EndedBy.CALLER, "end_reason": "hung up",
        "turns": (
            said("caller", "an appointment please", tool_calls=(ToolUse(name="free_slots", arguments={}, at_ms=0),)),
            said("agent", "I have 9:30."),
            said("caller", "thank you"),
        ),
    }  # fmt: skip
    return CallDetail(**{**known, **changes})


def said(speaker: Any, text: str, **more: Any) -> Turn:
    return Turn(speaker=speaker, text=text, start_ms=0, end_ms=1, **more)


def closed(call_id: str = "c1", outcome: Outcome = Outcome.ANSWERED) -> CallClosed:
    return CallClosed(call_id=call_id, outcome=outcome, ended_by=EndedBy.CALLER, ended_at=NOW)


class Receiver:
    """Answers with each of `statuses`, then 200."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.came: list[tuple[dict[str, str], bytes]] = []
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        self.came.append((dict(request.headers), await request.read()))
        return web.Response(status=self.statuses.pop(0) if self.statuses else 200)


@asynccontextmanager
async def receiver(*statuses: int) -> AsyncIterator[Receiver]:
    taking = Receiver(*statuses)
    app = web.Application()
    app.router.add_post("/calls", taking.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    taking.url = f"http://127.0.0.1:{runner.addresses[0][1]}/calls"
    try:
        yield taking
    finally:
        await runner.cleanup()


def poster(taking: Receiver, *, retries: int = 3, secret: dict[str, str] | None = None, **how: Any) -> SummaryPoster:
    async def read(call_id: str) -> CallDetail | None:
        return detail(call_id=call_id)

    settings = SummarySettings.model_validate({"url": taking.url, "retries": retries, "secret": secret})
    return SummaryPoster(settings, how.pop("read", read), first_wait_s=0.01, **how)


async def test_the_worker_s_words_are_posted_with_record_and_transcript(tmp_path) -> None:
    key = tmp_path / "key"
    key.write_text("s3cret\n")
    async with receiver() as taking:
        posting = poster(taking, secret={"file": str(key)})
        posting.observe(closed())
        posting.words(summary_message("c1", ("An appointment was booked.", "model")))
        await posting.close()
    ((headers, body),) = taking.came
    sent = json.loads(body)
    assert sent["type"] == "call.summary"
    assert sent["summary"] == {"text": "An appointment was booked.", "by": "model"}
    assert sent["call"]["call_id"] == "c1"
    assert [turn["text"] for turn in sent["call"]["turns"]][1] == "I have 9:30."
    assert Webhook(b"s3cret").verify(body, dict(headers)) == sent


async def test_without_words_the_gateway_has_its_own() -> None:
    async with receiver() as taking:
        posting = poster(taking)
        posting.observe(closed())
        posting.words(summary_message("c1", ("", "")))
        posting.observe(WorkerLost(call_ids=("c2",), at=NOW))
        await posting.close()
    summaries = [json.loads(body)["summary"] for _, body in taking.came]
    assert [summary["by"] for summary in summaries] == ["template", "template"]
    assert summaries[0]["text"] == template_summary(detail())


async def test_a_server_that_is_sick_is_asked_again_and_one_that_refuses_is_not() -> None:
    async with receiver(503, 429) as taking:
        posting = poster(taking, words_come=False)
        posting.observe(closed())
        await posting.close()
        assert len(taking.came) == 3
        assert len({headers["webhook-id"] for headers, _ in taking.came}) == 1  # the receiver can tell repeats
    async with receiver(410, 200) as taking:
        posting = poster(taking, words_come=False)
        posting.observe(closed())
        await posting.close()
        assert len(taking.came) == 1


async def test_a_record_that_is_written_late_is_waited_for_and_calls_without_an_answer_are_not_posted() -> None:
    asked: list[str] = []

    async def read(call_id: str) -> CallDetail | None:
        asked.append(call_id)
        return detail(outcome=None) if len(asked) == 1 else detail()

    async with receiver() as taking:
        posting = poster(taking, words_come=False, read=read)
        posting.observe(closed("c9", Outcome.CANCELLED))
        posting.observe(closed())
        await posting.close()
        assert (asked, len(taking.came)) == (["c1", "c1"], 1)


async def test_a_stop_of_the_gateway_is_not_held_up() -> None:
    async def read(call_id: str) -> CallDetail | None:
        await asyncio.sleep(3600)
        return None

    async with receiver() as taking:
        posting = poster(taking, words_come=False, read=read)
        posting.observe(closed())
        async with asyncio.timeout(5):
            await posting.close()
        assert taking.came == []


def test_the_gateway_s_own_words() -> None:
    assert template_summary(detail()) == (
        "Call from +15550123 to +15550100, answered by clinic.reception, 1 min 23 s. Ended by the caller: hung up. "
        'Functions used: free_slots. The caller said first: "an appointment please", and last: "thank you".'
    )
