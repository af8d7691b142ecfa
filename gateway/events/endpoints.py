"""Where events are posted: the settings' webhooks, and the hosts of single calls' webhooks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from gateway.config.fields import SecretMissing
from gateway.config.webhooks import CallWebhookSettings, WebhookSettings, is_signing_key
from gateway.events.retrying import EndpointHealth
from gateway.store.deliveries import Delivery

__all__ = ["Endpoint", "EndpointState", "Endpoints", "Target", "place_of"]

_OF_CALLS = "calls "  # prefix of keys of calls' endpoints; the settings' webhooks are keyed by URL
_MOST_PLACES = 200  # most hosts of calls' webhooks at once


@dataclass(frozen=True, slots=True)
class Target:
    """Where and how one delivery is posted."""

    url: str
    secret: str = field(default="", repr=False)
    allow_private: bool = False
    timeout_s: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointState:
    """`url` without its query, which may hold a secret. `of_calls`: a host of calls' webhooks. `parked`: there were
    only failures; one delivery every few minutes checks whether it works again."""

    url: str
    events: tuple[str, ...]
    of_calls: bool
    waiting: int
    delivered: int  # since the start
    failures: int  # in a row
    parked: bool
    error: str  # the last one; empty while it works


@dataclass(slots=True)
class Endpoint:
    key: str
    events: tuple[str, ...]
    target: Target
    health: EndpointHealth = field(default_factory=EndpointHealth)
    delivered: int = 0

    @property
    def of_calls(self) -> bool:
        return self.key.startswith(_OF_CALLS)

    @property
    def shown(self) -> str:
        parts = urlsplit(self.target.url)
        return f"{parts.scheme}://{parts.netloc}{parts.path}"

    def target_of(self, delivery: Delivery) -> Target:
        if not delivery.url:
            return self.target
        return Target(delivery.url, delivery.secret, self.target.allow_private, self.target.timeout_s)

    def state(self, waiting: int) -> EndpointState:
        return EndpointState(
            url=self.shown, events=self.events, of_calls=self.of_calls, waiting=waiting, delivered=self.delivered,
            failures=self.health.failures, parked=self.health.parked, error=self.health.error,
        )  # fmt: skip


def place_of(url: str) -> str:
    """The endpoint of a call's webhook is its host: a dead host is dead for all calls, whatever the path."""
    parts = urlsplit(url)
    return f"{_OF_CALLS}{parts.scheme}://{parts.netloc}"


class Endpoints:
    def __init__(self, webhooks: Iterable[WebhookSettings], calls: CallWebhookSettings) -> None:
        """Raises SecretMissing."""
        self._calls = calls
        self._fixed = {each.url: Endpoint(each.url, each.events, _target(each)) for each in webhooks}
        self._places: dict[str, Endpoint] = {}  # the last used last

    def __iter__(self) -> Iterator[Endpoint]:
        yield from self._fixed.values()
        yield from self._places.values()

    @property
    def fixed(self) -> Sequence[Endpoint]:
        """Those of the settings."""
        return tuple(self._fixed.values())

    @property
    def calls_may_be_private(self) -> bool:
        return self._calls.allow_private

    @property
    def longest_s(self) -> float:
        """The longest that an attempt may take."""
        return max(self._calls.timeout_s, *(each.target.timeout_s for each in self._fixed.values()), 0.0)

    def get(self, key: str) -> Endpoint | None:
        return self._fixed.get(key) or self._places.get(key)

    def use(self, key: str) -> None:
        """The endpoint of a waiting delivery. Endpoints no longer in the settings are skipped."""
        if not key.startswith(_OF_CALLS):
            return
        endpoint = self._places.pop(key, None)
        if endpoint is None:
            target = Target(key.removeprefix(_OF_CALLS), "", self._calls.allow_private, self._calls.timeout_s)
            endpoint = Endpoint(key, ("*",), target)
        self._places[key] = endpoint
        if len(self._places) > _MOST_PLACES:
            well = next((name for name, each in self._places.items() if not each.health.parked), key)
            del self._places[well]


def _target(webhook: WebhookSettings) -> Target:
    secret = webhook.secret.read() if webhook.secret is not None else ""
    if webhook.secret is not None and not is_signing_key(secret):
        raise SecretMissing("a webhook's secret is empty, or begins with whsec_ and is not base64 after that")
    return Target(webhook.url, secret, webhook.allow_private, webhook.timeout_s)
