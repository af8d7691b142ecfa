"""The listening side of the API."""

from __future__ import annotations

import errno

import structlog
from aiohttp import web

from gateway.api.app import make_app
from gateway.api.connections import ConnectionLimits, Connections, LimitedSite
from gateway.api.deps import ApiDeps
from gateway.api.exposure import refuse_exposure
from telephony.errors import PortTaken

__all__ = ["ApiServer"]

_KEEPALIVE_S = 30.0  # between requests
_LINGERING_S = 2.0  # for a body that was not read

log = structlog.get_logger(__name__)


class ApiServer:
    """Serves `make_app(deps)` on one address. `port` 0: the system picks one; `url` has it once started."""

    def __init__(self, deps: ApiDeps, *, host: str, port: int, limits: ConnectionLimits | None = None) -> None:
        """Raises ExposureError for an address that other machines can reach, if no key is set."""
        refuse_exposure(host, keyed=bool(deps.api_keys) or deps.require_key)
        self._host, self._port = host, port
        self._connections = Connections(limits)
        self._runner = web.AppRunner(
            make_app(deps, self._connections),
            access_log=None,
            handle_signals=False,
            shutdown_timeout=2.0,
            keepalive_timeout=_KEEPALIVE_S,
            lingering_time=_LINGERING_S,
        )

    @property
    def url(self) -> str:
        """As in http://127.0.0.1:8080."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    async def start(self) -> None:
        """Raises PortTaken, or OSError for an address not on this machine."""
        await self._runner.setup()
        try:
            await LimitedSite(self._runner, self._host, self._port, self._connections).start()
        except OSError as error:
            await self._runner.cleanup()
            if error.errno == errno.EADDRINUSE:
                raise PortTaken(self.url) from error
            raise
        self._port = self._runner.addresses[0][1]
        log.info("api_listening", url=self.url)

    async def close(self) -> None:
        """Stop listening; running requests get 2 s. Idempotent."""
        await self._runner.cleanup()
