"""LiveKit's web client in Debian's Chromium: the page in web/, its server, and the browser that shows it."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

WEB = Path(__file__).with_name("web")
_START_LIMIT_S = 60.0
# Loopback is where the LiveKit server of the tests is; WebRTC leaves it out otherwise.
_SWITCHES = (
    "--headless=new", "--no-first-run", "--no-default-browser-check", "--disable-gpu", "--disable-dev-shm-usage",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--mute-audio",
    "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream",
    "--autoplay-policy=no-user-gesture-required", "--allow-loopback-in-peer-connection",
)  # fmt: skip


def client_script() -> Path:
    """livekit-client as web/package-lock.json pins it, fetched once into $XDG_CACHE_HOME/trunkline/livekit-client."""
    digest = hashlib.sha256((WEB / "package-lock.json").read_bytes()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "trunkline" / "livekit-client"
    folder = cache / digest
    folder.mkdir(parents=True, exist_ok=True)
    script = folder / "node_modules" / "livekit-client" / "dist" / "livekit-client.umd.js"
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not script.exists():
            for name in ("package.json", "package-lock.json"):
                shutil.copy(WEB / name, folder / name)
            command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
            subprocess.run(command, cwd=folder, check=True)
    return script


class Browser:
    """A page that waits for a session, joins it and reports how loud everybody is."""

    def __init__(self) -> None:
        self._session: dict[str, str] | None = None
        self._speak = False
        self.ready = asyncio.Event()
        self.failure = ""
        self.heard: list[tuple[float, dict[str, float]]] = []  # (monotonic seconds, identity -> RMS, 1 is full scale)

    def join(self, url: str, token: str) -> None:
        self._session = {"url": url, "token": token}

    def speak(self, speaks: bool = True) -> None:
        """Into the room, by Chromium's fake microphone: a beep a second."""
        self._speak = speaks

    def loud_since(self, at: float) -> set[str]:
        """Who was heard in three consecutive reports."""
        self.check()
        reports = [levels for when, levels in self.heard if when >= at]
        return {
            who
            for three in zip(reports, reports[1:], reports[2:], strict=False)
            for who in three[0]
            if all(levels.get(who, 0.0) > 0.01 for levels in three)
        }

    def check(self) -> None:
        """Raises AssertionError with what the page has complained of."""
        assert not self.failure, self.failure

    def app(self, script: Path) -> web.Application:
        async def told_levels(request: web.Request) -> web.Response:
            self.heard.append((time.monotonic(), await request.json()))
            return web.json_response({"speak": self._speak})

        async def told_failure(request: web.Request) -> web.Response:
            told = await request.json()
            self.failure = f"{told['error']}\n{told.get('stack')}"
            return web.Response()

        async def asked_session(_: web.Request) -> web.Response:
            return web.json_response(self._session) if self._session else web.Response(status=204)

        async def told_ready(_: web.Request) -> web.Response:
            self.ready.set()
            return web.Response()

        def file(path: Path) -> Any:
            async def send(_: web.Request) -> web.FileResponse:
                return web.FileResponse(path)

            return send

        app = web.Application()
        app.add_routes(
            [
                web.get("/", file(WEB / "page.html")),
                web.get("/page.js", file(WEB / "page.js")),
                web.get("/livekit-client.js", file(script)),
                web.get("/session", asked_session),
                web.post("/levels", told_levels),
                web.post("/failed", told_failure),
                web.post("/ready", told_ready),
            ]
        )
        return app


@asynccontextmanager
async def a_browser(folder: Path) -> AsyncIterator[Browser]:
    """A Chromium with the page open."""
    browser = Browser()
    runner = web.AppRunner(browser.app(await asyncio.to_thread(client_script)))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    log = folder / "chromium.log"
    switches = [*_SWITCHES, f"--user-data-dir={folder / 'chromium'}"]
    if os.getuid() == 0:
        switches.append("--no-sandbox")  # Chromium refuses to start otherwise, as in a container
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            "chromium", *switches, site.name, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
        )
    try:
        try:
            async with asyncio.timeout(_START_LIMIT_S):
                await browser.ready.wait()
        except TimeoutError:
            raise AssertionError(f"the page did not open\n{log.read_text(errors='replace')[-3000:]}") from None
        yield browser
    finally:
        if process.returncode is None:
            process.terminate()
        try:
            async with asyncio.timeout(10):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        await runner.cleanup()
