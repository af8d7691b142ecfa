from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.api import ApiDeps, ExposureError, FakeCalls, HealthReport, check_exposure, make_app
from gateway.live_calls import LiveCalls
from gateway.metrics import Metrics
from gateway.store import WriterState
from tests.unit.api.asking import Asker, body, detail, text

KEYS = ("first-key", "zweiter-schlüssel")


@pytest.mark.parametrize("path", ["/v1/calls", "/v1/calls/c1", "/v1/calls/c1/recording", "/v1", "/v1/nothing"])
@pytest.mark.parametrize(
    "header", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer"}, {"Authorization": "Basic first-key"}]
)
async def test_without_a_key_there_is_nothing_to_see(tmp_path: Path, path: str, header: dict[str, str]) -> None:
    response = await Asker(tmp_path, detail(), api_keys=KEYS).get(path, **header)
    assert response.status == 401
    assert response.headers["WWW-Authenticate"].startswith("Bearer")
    assert "c1" not in text(response)


@pytest.mark.parametrize("key", KEYS)
async def test_each_key_opens(tmp_path: Path, key: str) -> None:
    api = Asker(tmp_path, detail(), api_keys=KEYS)
    assert (await api.get("/v1/calls/c1", Host="gateway.example", Authorization=f"Bearer {key}")).status == 200
    assert (await api.get("/v1/calls/c1", Authorization=f"bearer  {key}")).status == 200


async def test_health_and_the_page_need_no_key(tmp_path: Path) -> None:
    api = Asker(tmp_path, api_keys=KEYS)
    for path in ("/healthz", "/", "/openapi.json", "/metrics"):
        assert (await api.get(path, Host="gateway.example")).status == 200


async def test_metrics_can_be_protected(tmp_path: Path) -> None:
    api = Asker(tmp_path, api_keys=KEYS, protect_metrics=True)
    assert (await api.get("/metrics")).status == 401
    assert (await api.get("/metrics", Authorization="Bearer first-key")).status == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [("127.0.0.1:8080", 200), ("localhost", 200), ("[::1]:8080", 200), ("evil.example", 403), ("10.0.0.5:8080", 403)],
)
async def test_without_keys_a_foreign_name_for_this_machine_shows_no_calls(
    tmp_path: Path, host: str, status: int
) -> None:
    assert (await Asker(tmp_path).get("/v1/calls", Host=host)).status == status


def test_an_empty_key_is_refused(tmp_path: Path) -> None:
    deps = ApiDeps(
        calls=FakeCalls(),
        health=lambda: HealthReport(state="ready"),
        metrics=Metrics(LiveCalls()),
        recordings=tmp_path,
        api_keys=("good", " "),
    )
    with pytest.raises(ValueError, match="empty"):
        make_app(deps)


@dataclass(frozen=True)
class Listen:
    host: str


@dataclass(frozen=True)
class Http:
    listen: Listen
    api_keys: tuple[str, ...] = ()
    require_key: bool = False


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "gateway.example"])
def test_beyond_this_machine_only_with_a_key(host: str) -> None:
    with pytest.raises(ExposureError, match=r"http\.api_keys"):
        check_exposure(Http(Listen(host)))
    check_exposure(Http(Listen(host), ("key",)))
    check_exposure(Http(Listen(host), require_key=True))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_on_this_machine_no_key_is_needed(host: str) -> None:
    check_exposure(Http(Listen(host)))


@pytest.mark.parametrize("state", ["starting", "draining", "failing"])
async def test_health_is_503_with_reasons_while_no_calls_can_be_taken(tmp_path: Path, state: str) -> None:
    api = Asker(tmp_path)
    assert (await api.get("/healthz?probe=1")).status == 200
    api.report = HealthReport(state=state, reasons=("no worker is ready",))  # type: ignore[arg-type]  # parametrized
    response = await api.get("/healthz")
    assert response.status == 503
    assert (body(response)["state"], body(response)["reasons"]) == (state, ["no worker is ready"])


async def test_a_store_that_fails_is_a_warning(tmp_path: Path) -> None:
    state = WriterState(7, 100, 3, 0, 2, "/secret/path: disk full")
    api = Asker(tmp_path, store_state=lambda: state)
    response = await api.get("/healthz")
    report = body(response)
    assert response.status == 200
    assert len(report["warnings"]) == 2
    assert report["figures"] == {"calls_active": 2, "store_backlog": 7, "store_failures": 3}
    assert "secret" not in text(response)


async def test_the_page_shows_the_state_and_nothing_gets_into_it(tmp_path: Path) -> None:
    api = Asker(tmp_path, version="1.0 <b>")
    api.report = HealthReport(state="draining", reasons=("<script>alert(1)</script>",), figures={"slots_free": 3})
    response = await api.get("/")
    page = text(response)
    assert "draining" in page and "slots free" in page
    assert "<script" not in page and "<b>" not in page
    assert "http://" not in page and "https://" not in page, "nothing from elsewhere"
    assert "'unsafe-inline'" not in response.headers["Content-Security-Policy"]


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nothing", 404), ("PUT", "/v1/calls", 405)])
async def test_other_paths_and_methods_are_problems_too(tmp_path: Path, method: str, path: str, status: int) -> None:
    response = await Asker(tmp_path).get(path, method=method)
    assert (response.status, body(response)["status"]) == (status, status)
    assert response.content_type == "application/problem+json"
