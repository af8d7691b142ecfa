"""Keys with scopes, their rate limits, and requests that are carried out once."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp.test_utils import make_mocked_request

from gateway.api.exposure import owner_of
from gateway.api.idempotency import Answer, Interrupted, answer_once, key_of
from gateway.api.keyring import FakeKeys, Holder, KeyRate, KeyRing
from gateway.api.problems import ProblemError
from gateway.cli import main
from gateway.keys import ApiKey, Scope, id_in, make_key, opens
from gateway.store import CallStore, StoreUnavailable
from gateway.store.idempotency import Attempt, Attempts, FakeAttempts
from tests.unit.api.asking import Asker, body, detail
from tests.unit.store.test_redaction import SETTINGS

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)


def made(*scopes: Scope) -> tuple[str, ApiKey]:
    return make_key("crm", scopes, NOW)


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}", "Host": "gateway.example"}


# --- keys -------------------------------------------------------------------------------------------------------------


def test_a_key_names_its_id_and_is_kept_as_a_digest() -> None:
    key, kept = made(Scope.READ)
    assert id_in(key) == kept.key_id and len(key) > 50
    assert kept.is_of(key) and not kept.is_of(key[:-1]) and not kept.is_of("")
    assert key not in repr(kept) and key.split("_", 2)[2] not in repr(kept)
    assert made(Scope.READ)[0] != key


@pytest.mark.parametrize("text", ["", "tk", "tk_", "tk_abc", "tk_abc_", "xx_abc_def", "first-key", "_", "tk__x\udce9"])
def test_what_names_no_id(text: str) -> None:
    assert id_in(text) == ""


def test_admin_opens_all_and_the_others_their_own() -> None:
    assert opens({Scope.ADMIN}, Scope.CALL) and opens({Scope.READ}, Scope.READ)
    assert not opens({Scope.READ}, Scope.CALL) and not opens({Scope.CALL}, Scope.READ) and not opens((), Scope.READ)


async def test_the_store_keeps_keys(store: CallStore) -> None:
    key, kept = made(Scope.READ, Scope.CALL)
    other = make_key("n" * 500, {Scope.ADMIN}, NOW + timedelta(seconds=1))[1]
    await store.keys.add(kept)
    await store.keys.add(other)
    first, second = await store.keys.all()
    assert first == kept and first.is_of(key) and len(second.name) == 128
    assert await store.keys.revoke(kept.key_id, NOW)
    assert not await store.keys.revoke(kept.key_id, NOW) and not await store.keys.revoke("nobody", NOW)
    assert [each.revoked_at for each in await store.keys.all()] == [NOW, None]


# --- the API ----------------------------------------------------------------------------------------------------------


async def test_a_key_opens_what_its_scopes_say(tmp_path: Path) -> None:
    reader, kept = made(Scope.READ)
    caller, kept_caller = made(Scope.CALL)
    admin, kept_admin = made(Scope.ADMIN)
    api = Asker(tmp_path, detail(), keys=FakeKeys(kept, kept_caller, kept_admin))
    assert (await api.get("/v1/calls/c1", **bearer(reader))).status == 200
    assert (await api.get("/v1/calls/c1", **bearer(admin))).status == 200
    refused = await api.get("/v1/calls/c1", method="DELETE", **bearer(reader))
    assert (refused.status, body(refused)["type"]) == (403, "urn:trunkline:problem:missing_scope")
    assert 'error="insufficient_scope", scope="call"' in refused.headers["WWW-Authenticate"]
    assert (await api.get("/v1/calls/c1", **bearer(caller))).status == 403
    assert (await api.get("/v1/calls/c1", method="HEAD", **bearer(caller))).status == 403
    assert (await api.get("/v1/calls/c1", method="DELETE", **bearer(caller))).status not in (401, 403)
    assert (await api.get("/v1/nothing", **bearer(reader))).status == 404
    for wrong in (reader[:-1], reader + "x", f"tk_{kept.key_id}_x", f"tk_nobody_{reader.rpartition('_')[2]}", ""):
        assert (await api.get("/v1/calls/c1", **bearer(wrong))).status == 401


async def test_who_asks_is_known_by_its_key(tmp_path: Path) -> None:
    key, kept = made(Scope.CALL)
    app = Asker(tmp_path, keys=FakeKeys(kept), api_keys=("one",)).app
    for sent, owner in ((f"Bearer {key}", kept.key_id), ("Bearer one", "settings-1"), ("Bearer two", "")):
        request = make_mocked_request("POST", "/v1/calls", headers={"Authorization": sent}, app=app)
        assert await owner_of(request) == owner


async def test_a_key_of_the_store_closes_the_api_to_those_without_one(tmp_path: Path) -> None:
    keys = FakeKeys()
    api = Asker(tmp_path, detail(), keys=keys)
    assert (await api.get("/v1/calls/c1")).status == 200
    keys.keys.append(made(Scope.READ)[1])
    api.clock += 5.1
    assert (await api.get("/v1/calls/c1")).status == 401
    always = Asker(tmp_path, detail(), keys=FakeKeys(), require_key=True)
    assert (await always.get("/v1/calls/c1")).status == 401


async def test_the_settings_keys_open_everything_and_never_ask_the_store(tmp_path: Path) -> None:
    keys = FakeKeys()
    keys.error = StoreUnavailable("gone")
    api = Asker(tmp_path, detail(), api_keys=("one", "two"), keys=keys)
    for key in ("one", "two"):
        assert (await api.get("/v1/calls/c1", **bearer(key))).status == 200
        assert (await api.get("/v1/calls/c1", method="DELETE", **bearer(key))).status not in (401, 403)
    assert keys.reads == 0


async def test_keys_that_are_made_or_revoked_count_within_seconds() -> None:
    clock = 0.0
    keys = FakeKeys()
    ring = KeyRing((), keys, now=lambda: clock)
    key, kept = made(Scope.READ)
    assert await ring.holder(f"Bearer {key}") is None
    keys.keys.append(kept)
    clock += 0.6
    assert await ring.holder(f"Bearer {key}") == Holder(kept.key_id, frozenset({Scope.READ}))
    keys.keys[:] = [ApiKey(**{name: getattr(kept, name) for name in kept.__dataclass_fields__} | {"revoked_at": NOW})]
    clock += 5.1
    assert await ring.holder(f"Bearer {key}") is None
    reads = keys.reads
    for _ in range(50):  # who guesses does not keep the store busy
        assert await ring.holder(f"Bearer tk_guess_{'x' * 40}") is None
    assert keys.reads <= reads + 1


async def test_while_the_store_is_away_the_keys_that_are_known_count() -> None:
    clock = 0.0
    key, kept = made(Scope.READ)
    keys = FakeKeys(kept)
    ring = KeyRing((), keys, now=lambda: clock)
    assert await ring.holder(f"Bearer {key}") is not None
    keys.error = StoreUnavailable("gone")
    clock += 60.0
    assert await ring.holder(f"Bearer {key}") is not None
    unread = KeyRing((), keys, now=lambda: clock)
    with pytest.raises(StoreUnavailable, match="gone"):
        await unread.holder(f"Bearer {key}")


@pytest.mark.parametrize("where", ["store", "settings"])
async def test_a_key_that_asks_too_often_is_told_when_to_come_again(tmp_path: Path, where: str) -> None:
    key, kept = made(Scope.READ)
    other, kept_other = made(Scope.READ)
    fixed = [key] if where == "settings" else []
    keys = FakeKeys(*([] if fixed else [kept]), kept_other)
    api = Asker(tmp_path, detail(), api_keys=fixed, keys=keys, key_rate=KeyRate(0.5, 3))
    statuses = [(await api.get("/v1/calls/c1", **bearer(key))).status for _ in range(4)]
    assert statuses == [200, 200, 200, 429]
    refused = await api.get("/v1/calls/c1", **bearer(key))
    assert (refused.headers["Retry-After"], body(refused)["type"]) == ("2", "urn:trunkline:problem:rate_limited")
    assert (await api.get("/v1/calls/c1", **bearer(other))).status == 200
    api.clock += 2.0
    assert (await api.get("/v1/calls/c1", **bearer(key))).status == 200


# --- the command ------------------------------------------------------------------------------------------------------


def test_keys_are_made_listed_and_revoked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "s.yaml").write_text(SETTINGS.format(folder=tmp_path))
    config = ["--config", str(tmp_path / "s.yaml")]
    assert main(["keys", "create", "--name", "crm", "--scopes", "read,call", *config]) == 0
    key = capsys.readouterr().out.strip()
    assert main(["keys", "list", *config]) == 0
    listed = capsys.readouterr().out
    assert id_in(key) in listed and "call,read" in listed and "active" in listed and key not in listed
    assert main(["keys", "revoke", id_in(key), *config]) == 0
    assert main(["keys", "revoke", id_in(key), *config]) == 1
    assert f"no active key {id_in(key)}" in capsys.readouterr().err
    assert main(["keys", "list", "--json", *config]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["name"], found["scopes"]) == ("crm", ["call", "read"]) and found["revoked_at"]
    assert key.encode() not in b"".join(path.read_bytes() for path in tmp_path.glob("t.db*"))
    with pytest.raises(SystemExit) as caught:
        main(["keys", "create", "--name", "x", "--scopes", "write", *config])
    assert caught.value.code == 2 and "known are: read, call, admin" in capsys.readouterr().err


# --- Idempotency-Key --------------------------------------------------------------------------------------------------


@pytest.fixture(params=["stored", "fake"])
def attempts(request: pytest.FixtureRequest, store: CallStore) -> Attempts:
    return store.attempts if request.param == "stored" else FakeAttempts()


class Work:
    """Makes a call, and counts."""

    def __init__(self, status: int = 202, error: BaseException | None = None) -> None:
        self.status, self.error, self.done = status, error, 0

    async def __call__(self) -> Answer:
        self.done += 1
        if self.error is not None:
            raise self.error
        return Answer(self.status, json.dumps({"n": self.done}), "/v1/calls/c1")


async def ask(attempts: Attempts, work: Work, at: datetime = NOW, **changes: str) -> Answer:
    asked = {"owner": "k1", "key": "a", "reference": "c1"} | changes
    request = asked.pop("request", "POST /v1/calls {}").encode()
    return await answer_once(attempts, work, request=request, now=at, **asked)


async def test_the_second_time_the_first_answer_is_given_again(attempts: Attempts) -> None:
    work = Work()
    first = await ask(attempts, work)
    again = await ask(attempts, work, NOW + timedelta(hours=23), reference="c2")
    assert (again.status, again.body, again.location) == (first.status, first.body, first.location)
    assert (first.repeated, again.repeated, work.done) == (False, True, 1)
    await ask(attempts, work, owner="k2")
    await ask(attempts, work, key="b")
    assert work.done == 3
    await ask(attempts, work, NOW + timedelta(hours=24, seconds=1))  # forgotten by now
    assert work.done == 4


async def test_another_request_under_the_same_key_is_refused(attempts: Attempts) -> None:
    work = Work()
    await ask(attempts, work)
    with pytest.raises(ProblemError) as caught:
        await ask(attempts, work, request="POST /v1/calls {2}")
    assert (caught.value.status, caught.value.kind, work.done) == (422, "idempotency_key_reused", 1)


async def test_one_that_is_still_at_work_is_not_done_twice(attempts: Attempts) -> None:
    going_on = asyncio.Event()

    class Slow(Work):
        async def __call__(self) -> Answer:
            await going_on.wait()
            return await super().__call__()

    work = Slow()
    first = asyncio.create_task(ask(attempts, work))
    others: list[ProblemError] = []
    while len(others) < 2:
        try:
            await asyncio.sleep(0.01)
            await asyncio.wait_for(ask(attempts, Work()), 0.5)
        except ProblemError as error:
            others.append(error)
    assert [(each.status, each.headers["Retry-After"]) for each in others] == [(409, "1")] * 2
    going_on.set()
    assert (await first).status == 202 and (await ask(attempts, work)).repeated


async def test_what_came_to_nothing_may_be_tried_again(attempts: Attempts) -> None:
    with pytest.raises(ValueError, match="no such number"):
        await ask(attempts, Work(error=ValueError("no such number")))
    assert (await ask(attempts, Work(503))).status == 503
    assert (await ask(attempts, Work())).repeated is False
    assert (await ask(attempts, Work(404), key="refused")).status == 404
    assert (await ask(attempts, Work(), key="refused")).status == 404


async def test_one_that_was_cut_off_names_what_it_was_to_make(attempts: Attempts) -> None:
    work = Work(error=asyncio.CancelledError())
    with pytest.raises(asyncio.CancelledError):
        await ask(attempts, work)
    with pytest.raises(ProblemError) as caught:
        await ask(attempts, Work(), NOW + timedelta(seconds=59), reference="c2")
    assert caught.value.kind == "idempotency_in_progress"
    with pytest.raises(Interrupted) as cut:
        await ask(attempts, Work(), NOW + timedelta(seconds=61), reference="c2")
    assert cut.value.reference == "c1"


async def test_what_was_done_is_answered_though_it_cannot_be_noted() -> None:
    class Gone(FakeAttempts):
        async def answered(self, attempt: Attempt) -> None:
            raise StoreUnavailable("gone")

    attempts = Gone()
    assert (await ask(attempts, Work())).status == 202
    with pytest.raises(Interrupted, match="c1"):
        await ask(attempts, Work(), NOW + timedelta(minutes=2))


async def test_many_at_once_do_it_once(store: CallStore) -> None:
    work = Work()
    answers = await asyncio.gather(*(ask(store.attempts, work) for _ in range(20)), return_exceptions=True)
    assert work.done == 1
    assert all(isinstance(each, ProblemError | Answer) for each in answers)


@pytest.mark.parametrize(
    ("given", "key"), [("8e03978e", "8e03978e"), ('"8e03"', "8e03"), (" x ", "x"), ("!~", "!~"), ("y" * 255, "y" * 255)]
)
def test_the_header(given: str, key: str) -> None:
    assert key_of(make_mocked_request("POST", "/v1/calls", headers={"Idempotency-Key": given})) == key


@pytest.mark.parametrize("given", ["", "two words", "é", "z" * 256, '""'])
def test_a_header_that_is_no_key(given: str) -> None:
    with pytest.raises(ProblemError) as caught:
        key_of(make_mocked_request("POST", "/v1/calls", headers={"Idempotency-Key": given}))
    assert caught.value.status == 400


def test_no_header_is_no_key() -> None:
    assert key_of(make_mocked_request("POST", "/v1/calls")) is None
