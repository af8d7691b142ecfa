from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import web

from gateway.api.recordings import confined
from gateway.record import LegRecord, Outcome, Recording, TransferKind, TransferRecord
from gateway.store import BadCursor, CallFilters, StoreUnavailable
from telephony.call import Direction, LegRole
from telephony.media.answering.model import AnsweredBy
from tests.unit.api.asking import Asker, body, detail, text
from tests.unit.store.records import START


async def test_a_list_of_calls(tmp_path: Path) -> None:
    api = Asker(tmp_path, detail("c1"), detail("c2", outcome=None))
    response = await api.get("/v1/calls")
    assert response.status == 200
    found = body(response)
    assert [call["call_id"] for call in found["calls"]] == ["c1", "c2"]
    assert found["next_cursor"] is None
    assert found["calls"][0]["started_at"] == "2026-11-20T09:00:00Z"
    assert api.calls.asked == [(CallFilters(), 50, None)]


async def test_live_calls_have_a_path_of_their_own(tmp_path: Path) -> None:
    api = Asker(tmp_path, detail("c1"), detail("c2", outcome=None))
    assert [call["call_id"] for call in body(await api.get("/v1/calls/live"))["calls"]] == ["c2"]


async def test_filters_reach_the_store(tmp_path: Path) -> None:
    api = Asker(tmp_path)
    query = "called=+15550100&caller=%2B1999&outcome=refused&persona=a.B&answered_by=voicemail&limit=7&cursor=9.xyz"
    times = "&since=2026-11-20T00:00:00Z&until=2026-11-21T02:00:00+02:00"  # the + is not escaped, as people do
    assert (await api.get(f"/v1/calls?{query}{times}")).status == 200
    filters = CallFilters(
        called="+15550100",
        caller="+1999",
        outcome=Outcome.REFUSED,
        persona="a.B",
        answered_by=AnsweredBy.VOICEMAIL,
        since=datetime(2026, 11, 20, tzinfo=UTC),
        until=datetime(2026, 11, 21, tzinfo=UTC),
    )
    assert api.calls.asked == [(filters, 7, "9.xyz")]


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=many", "limit"),
        ("outcome=perfect", "outcome"),
        ("since=2026-11-20T00:00:00", "since"),
        ("since=yesterday", "since"),
        ("since=0000-01-01T00:00:00Z", "since"),
        ("since=0001-01-01T00:00:00%2B14:00", "since: Value error, the time is out of range"),
        ("until=9999-12-31T23:59:59-14:00", "until: Value error, the time is out of range"),
        ("until=99999-01-01T00:00:00Z", "until"),
        ("since=nan", "since"),
        ("since=inf", "since"),
        ("since=1e400", "since"),
        ("until=-1e30", "until"),
        ("since=2026-13-45T99:99:99Z", "since"),
        ("answered_by=parrot", "answered_by"),
        ("limit=nan", "limit"),
        ("limit=1e400", "limit"),
        ("limit=" + "9" * 5000, "limit"),
        ("colour=red", "colour"),
        ("limit=1&limit=2", "limit"),
        ("called=", "called"),
        ("called=" + "9" * 300, "called"),
        ("cursor=" + "A" * 600, "cursor"),
    ],
)
async def test_what_is_wrong_with_a_question_is_named(tmp_path: Path, query: str, named: str) -> None:
    api = Asker(tmp_path)
    response = await api.get(f"/v1/calls?{query}")
    assert response.status == 400
    assert response.content_type == "application/problem+json"
    problem = body(response)
    assert (problem["status"], problem["title"]) == (400, "Bad Request")
    assert named in problem["detail"]
    assert api.calls.asked == []


async def test_a_made_up_cursor_is_the_clients_mistake(tmp_path: Path) -> None:
    api = Asker(tmp_path)
    api.calls.error = BadCursor("not one of ours")
    response = await api.get("/v1/calls?cursor=9.abc")
    assert response.status == 400
    assert "cursor" in body(response)["detail"]


async def test_one_call_with_its_conversation(tmp_path: Path) -> None:
    call = body(await Asker(tmp_path, detail()).get("/v1/calls/c1"))
    assert call["caller"] is None
    assert call["media"]["packets_lost"] == 3
    assert call["turns"][2]["latency"]["first_packet_ms"] == 600.0
    assert call["turns"][2]["tool_calls"][0]["name"] == "free_slots"
    assert call["events"][0]["type"] == "session_started"
    assert (call["legs"], call["transfers"]) == ([], [])


async def test_one_call_with_its_legs_and_transfers(tmp_path: Path) -> None:
    leg = LegRecord(
        leg_id="c1-2", call_id="c1", role=LegRole.HUMAN, direction=Direction.OUTBOUND, trunk="desk",
        called="sip:human@desk.example", caller=None, started_at=START,
    )  # fmt: skip
    transfer = TransferRecord(
        transfer_id="t1", call_id="c1", kind=TransferKind.COLD, target="+15551234", began_at=START, outcome=Outcome.BUSY
    )
    call = body(await Asker(tmp_path, detail(legs=(leg,), transfers=(transfer,))).get("/v1/calls/c1"))
    assert (call["legs"][0]["role"], call["legs"][0]["outcome"]) == ("human", None)
    assert (call["transfers"][0]["kind"], call["transfers"][0]["outcome"]) == ("cold", "busy")


@pytest.mark.parametrize("path", ["/v1/calls/nope", "/v1/calls/nope/transcript", "/v1/calls/nope/recording"])
async def test_calls_that_are_not(tmp_path: Path, path: str) -> None:
    response = await Asker(tmp_path, detail()).get(path)
    assert response.status == 404
    assert "nope" in body(response)["detail"]


@pytest.mark.parametrize("call_id", ["..%2f..%2fetc%2fpasswd", ".hidden", "a" * 129, "a%00b", "a%0a", "%C3%A9"])
async def test_ids_that_cannot_be(tmp_path: Path, call_id: str) -> None:
    for tail in ("", "/recording", "/transcript"):
        assert (await Asker(tmp_path).get(f"/v1/calls/{call_id}{tail}")).status == 400


async def test_a_transcript_as_json_and_as_text(tmp_path: Path) -> None:
    api = Asker(tmp_path, detail(), detail("c2", outcome=None))
    transcript = body(await api.get("/v1/calls/c1/transcript"))
    assert (transcript["call_id"], transcript["live"], len(transcript["turns"])) == ("c1", False, 6)
    assert body(await api.get("/v1/calls/c2/transcript"))["live"] is True
    response = await api.get("/v1/calls/c1/transcript?format=text")
    assert response.content_type == "text/plain"
    assert text(response).splitlines()[0] == "00:00.3 agent: Hello."
    assert (await api.get("/v1/calls/c1/transcript?format=pdf")).status == 400


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"outcome": None}, "is in progress"),
        ({"recording": None}, "not recorded"),
        ({"recording": Recording(path="", error="disk full")}, "disk full"),
        ({"recording": Recording(path="gone.wav")}, "no longer"),
        ({"recording": Recording(path="../secret.wav")}, "no longer"),
    ],
)
async def test_why_there_is_no_recording(tmp_path: Path, changes: dict[str, object], why: str) -> None:
    (tmp_path / "secret.wav").write_bytes(b"RIFF")
    (tmp_path / "recordings").mkdir()
    response = await Asker(tmp_path / "recordings", detail(**changes)).get("/v1/calls/c1/recording")
    assert response.status == 404
    assert why in body(response)["detail"]


async def test_a_recording_is_its_file(tmp_path: Path) -> None:
    (tmp_path / "c1.wav").write_bytes(b"RIFF")
    response = await Asker(tmp_path, detail()).get("/v1/calls/c1/recording")
    assert isinstance(response, web.FileResponse)
    assert response.headers["Content-Type"] == "audio/wav"


def test_recordings_come_from_their_directory_only(tmp_path: Path) -> None:
    inside = tmp_path / "recordings"
    (inside / "deep").mkdir(parents=True)
    (inside / "deep" / "a.wav").write_bytes(b"RIFF")
    (inside / "a.txt").write_text("x")
    (tmp_path / "out.wav").write_bytes(b"RIFF")
    (tmp_path / "recordings-2").mkdir()
    (tmp_path / "recordings-2" / "b.wav").write_bytes(b"RIFF")
    (inside / "link.wav").symlink_to(tmp_path / "out.wav")
    (inside / "loop.wav").symlink_to(inside / "loop.wav")
    assert confined(inside, "deep/a.wav") == (inside / "deep" / "a.wav").resolve()
    assert confined(inside, str(inside / "deep" / "a.wav")) is not None
    outside = [
        "../out.wav",
        str(tmp_path / "out.wav"),
        "../recordings-2/b.wav",
        "link.wav",
        "loop.wav",
        "a.txt",
        "deep",
    ]
    assert [path for path in [*outside, "", "a\0.wav", "x" * 5000] if confined(inside, path)] == []


async def test_a_store_that_cannot_be_read_is_not_a_missing_call(tmp_path: Path) -> None:
    api = Asker(tmp_path, detail())
    api.calls.error = StoreUnavailable("/secret/place is locked")
    response = await api.get("/v1/calls/c1")
    assert (response.status, response.headers["Retry-After"]) == (503, "2")
    assert "secret" not in text(response)


async def test_our_own_mistakes_stay_inside(tmp_path: Path) -> None:
    api = Asker(tmp_path, detail())
    api.calls.error = KeyError("a secret of ours")
    response = await api.get("/v1/calls/c1")
    assert response.status == 500
    assert "secret" not in text(response)


async def test_live_calls_come_in_pages_too(tmp_path: Path) -> None:
    api = Asker(tmp_path, detail("c1", outcome=None))
    assert body(await api.get("/v1/calls/live?limit=1&cursor=9.c0"))["next_cursor"] is None
    filters, limit, cursor = api.calls.asked[-1]
    assert filters is not None
    assert (filters.live, limit, cursor) == (True, 1, "9.c0")


@pytest.mark.parametrize(
    ("path", "allowed"),
    [("/v1/calls/live", "GET,HEAD"), ("/v1/calls/lively", "DELETE,GET,HEAD"), ("/v1/calls", "GET,HEAD,POST")],
)
async def test_only_what_is_there_is_offered(tmp_path: Path, path: str, allowed: str) -> None:
    response = await Asker(tmp_path).get(path, method="PATCH")
    assert (response.status, response.headers["Allow"]) == (405, allowed)


@pytest.mark.parametrize("when", ["0.5", "1700000000", "2026-11-20", "yesterday"])
async def test_a_time_is_iso_8601(tmp_path: Path, when: str) -> None:
    assert (await Asker(tmp_path).get(f"/v1/calls?since={when}")).status == 400
