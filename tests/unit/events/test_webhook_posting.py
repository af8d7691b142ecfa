"""Against a real HTTP server on loopback."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from standardwebhooks import Webhook

from gateway.config.fields import SecretMissing
from gateway.config.webhooks import CallWebhookSettings, WebhookSettings
from gateway.events.endpoints import Endpoints
from gateway.events.guard import ForbiddenTarget, PublicResolver, is_public
from gateway.events.posting import Poster, signed_headers, signer
from gateway.store.deliveries import Delivery
from tests.unit.events.receiver import Receiver, receiving

BODY = '{"id":"e1","type":"call.ended","data":{"text":"héllo"}}'
DELIVERY = Delivery("e1", "", "call.ended", BODY, 0.0)


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as taking:
        yield taking


async def post(url: str, **settings: Any) -> Any:
    webhook = WebhookSettings.model_validate({"url": url, "allow_private": True} | settings)
    (endpoint,) = Endpoints([webhook], CallWebhookSettings())
    poster = Poster()
    try:
        return await poster.post(endpoint.target, DELIVERY)
    finally:
        await poster.close()


async def test_it_is_signed_as_standard_webhooks_say(receiver: Receiver, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n")
    answer = await post(receiver.url, secret={"file": str(key)})
    assert answer.error == ""
    ((headers, body),) = receiver.came
    assert body == BODY.encode()
    verified = Webhook("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").verify(body, headers)
    assert verified["type"] == "call.ended"


def test_the_signature_is_that_of_the_specification() -> None:
    now = datetime.fromtimestamp(1614265330, UTC)
    key = signer("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signed_headers(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", '{"test": 2432232314}', now)
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_é"])
def test_a_secret_that_is_none_is_refused_at_the_start(secret: str) -> None:
    with pytest.raises(SecretMissing):
        signer(secret)


async def test_what_is_not_taken_says_why_and_how_long_to_wait(receiver: Receiver) -> None:
    receiver.answer = web.Response(status=503, headers={"Retry-After": "17"})
    answer = await post(receiver.url)
    assert (answer.error, answer.asked_s) == ("503 Service Unavailable", 17.0)


async def test_redirects_are_not_followed(receiver: Receiver) -> None:
    receiver.answer = web.Response(status=307, headers={"Location": receiver.url})
    answer = await post(receiver.url)
    assert answer.error.startswith("307")
    assert len(receiver.came) == 1


async def test_an_endpoint_that_hangs_is_given_up(receiver: Receiver) -> None:
    receiver.hangs = True
    assert (await post(receiver.url, timeout_s=0.05)).error == "no answer within 0.05 s"


async def test_a_refused_connection_is_a_reason_without_the_url() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        answer = await post(f"http://127.0.0.1:{taken.getsockname()[1]}/hook?token=secret")
    assert answer.error == "cannot connect: Connection refused"


async def test_private_targets_are_refused_unless_allowed(receiver: Receiver) -> None:
    answer = await post(receiver.url, allow_private=False)
    assert answer.error == "127.0.0.1 is in a private network (allow_private)"
    by_name = await post(receiver.url.replace("127.0.0.1", "localhost"), allow_private=False)
    assert by_name.error == "localhost leads into a private network (allow_private)"
    assert receiver.came == []


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1:248:1893:25c8:1946", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),  # cloud metadata
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:93.184.216.34", True),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
    ],
)
def test_which_addresses_are_public(address: str, public: bool) -> None:
    assert is_public(address) is public


class Names(AbstractResolver):
    def __init__(self, *addresses: str) -> None:
        self._addresses = addresses

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[Any]:
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
            for address in self._addresses
        ]

    async def close(self) -> None:
        pass


async def test_a_name_leads_only_to_its_public_addresses() -> None:
    found = await PublicResolver(Names("10.0.0.1", "93.184.216.34")).resolve("mixed.test", 443)
    assert [each["host"] for each in found] == ["93.184.216.34"]
    with pytest.raises(ForbiddenTarget):
        await PublicResolver(Names("10.0.0.1")).resolve("inner.test", 443)
