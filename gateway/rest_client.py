"""Client of a running gateway's REST API, for commands. Blocking: use it in a thread."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import quote, urlsplit

__all__ = ["RestClient", "RestError"]

_TIMEOUT_S = 10.0


class RestError(Exception):
    """The gateway is unreachable, or answered with a problem. `status` 0: no response."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class RestClient:
    def __init__(self, url: str, key: str | None = None) -> None:
        """`url` as in http://127.0.0.1:8080. Raises ValueError for anything but http and https."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"invalid HTTP address {url!r}; expected something like http://127.0.0.1:8080")
        self._connect = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._host, self._port, self._base = parts.hostname, parts.port, parts.path.rstrip("/")
        self._key = key
        self.url = url

    def get_bytes(self, path: str) -> bytes:
        """The body of an answer with status 200. Raises RestError."""
        return self._asked("GET", path, None)

    def send(self, method: str, path: str, body: Any = None) -> Any:
        """The answer's JSON; None: there is none. Raises RestError."""
        answer = self._asked(method, path, body)
        return json.loads(answer) if answer else None

    def _asked(self, method: str, path: str, body: Any) -> bytes:
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        content = None if body is None else json.dumps(body)
        if content is not None:
            headers["Content-Type"] = "application/json"
        connection = self._connect(self._host, self._port, timeout=_TIMEOUT_S)
        try:
            connection.request(method, self._base + path, content, headers)
            response = connection.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise RestError(f"{self.url} does not answer: {error}") from error
        finally:
            connection.close()
        if not 200 <= response.status < 300:
            why = _detail(answer) or response.reason
            raise RestError(f"{self.url}{path}: {response.status} {why}", response.status)
        return answer

    def get_json(self, path: str) -> Any:
        """Raises RestError."""
        try:
            return json.loads(self.get_bytes(path))
        except ValueError as error:
            raise RestError(f"{self.url}{path} is not the API of a gateway: {error}") from error

    def call(self, call_id: str) -> dict[str, Any]:
        """One call's record with its turns and events."""
        found: dict[str, Any] = self.get_json(f"/v1/calls/{quote(call_id, safe='')}")
        return found

    def call_by_sip_id(self, sip_call_id: str) -> dict[str, Any] | None:
        """The record (without its conversation) of a recent call; None if not among the last 200."""
        calls: list[dict[str, Any]] = self.get_json("/v1/calls?limit=200")["calls"]
        return next((call for call in calls if call.get("sip_call_id") == sip_call_id), None)

    def recording(self, call_id: str) -> bytes:
        return self.get_bytes(f"/v1/calls/{quote(call_id, safe='')}/recording")


def _detail(body: bytes) -> str:
    try:
        problem = json.loads(body)
    except ValueError:
        return ""
    return str(problem.get("detail") or problem.get("title") or "") if isinstance(problem, dict) else ""
