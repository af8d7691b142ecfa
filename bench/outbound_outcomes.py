"""Outbound calls of mixed outcomes against sipp: each record must have the outcome that sipp gave.

    python -m bench.outbound_outcomes --store sqlite
    python -m bench.outbound_outcomes --store postgresql --calls 1000
    python -m bench.outbound_outcomes --store postgresql --url postgresql://trunkline@db/trunkline --password-file FILE

Starts a gateway, sipp with outbound_outcomes.xml as the carrier, and for `--store postgresql` without `--url` a server
of its own (as the tests do). Two digits of each number say what sipp does with the call; sipp writes down what it did,
and the records are compared with that, number by number. Exits with 1 when one differs, is missing, or is there twice.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from gateway.config.located_yaml import read_yaml

__all__ = ["KINDS", "Figures", "Kind", "Run", "table"]

ROOT = Path(__file__).parents[1]
SCENARIO = Path(__file__).with_suffix(".xml")
RING_S = 2.0
AT_ONCE = 24  # fewer than slots
SETTLE_S = 30.0  # for the record of a call
LOOK_EVERY_S = 0.25


@dataclass(frozen=True, slots=True)
class Kind:
    """`digits`: in the number; `said`: what sipp writes down; the record's outcome and SIP status that follow."""

    digits: str
    said: str
    outcome: str
    statuses: tuple[int | None, ...]
    share: int = 1  # of the calls
    cancelled: bool = False  # by the API, while it rings


KINDS = (
    Kind("00", "answered", "answered", (200,), 5),
    Kind("01", "busy", "busy", (486,), 2),
    Kind("02", "not found", "invalid_number", (404,)),
    Kind("03", "unavailable", "no_answer", (480,), 2),
    Kind("04", "overloaded", "failed", (503,)),
    Kind("05", "declined", "rejected", (603,), 2),
    Kind("06", "rang", "no_answer", (None, 0, 408, 487), 2),
    Kind("07", "forbidden", "rejected", (403,)),
    Kind("08", "broken", "failed", (500,)),
    Kind("09", "busy everywhere", "busy", (600,)),
    Kind("10", "silent", "failed", (408,)),
    Kind("11", "rang", "cancelled", (None, 0, 487), cancelled=True),
    Kind("12", "not acceptable", "failed", (488,)),
    Kind("13", "answered", "answered", (200,)),  # after early media
)
_BY_DIGITS = {kind.digits: kind for kind in KINDS}


@dataclass
class Figures:
    """By the kind's digits. `wrong`: sentences."""

    placed: Counter[str] = field(default_factory=Counter)
    right: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    records: int = 0
    refused: int = 0
    seconds: float = 0.0

    @property
    def failed(self) -> bool:
        return bool(self.wrong or self.refused) or {self.records, self.right.total()} != {self.placed.total()}


class Run:
    """One gateway, one sipp. `store`: the gateway's setting; `folder`: for everything that is written."""

    def __init__(self, folder: Path, store: Any, calls: int) -> None:
        self._folder = folder
        self._store = store
        self._calls = calls
        self._log = folder / "sipp.log"
        self.figures = Figures()
        self._numbers: dict[str, str] = {}  # number -> call

    async def run(self) -> Figures:
        """Raises RuntimeError when a program does not start."""
        port = _free_port()
        sipp = await self._start_sipp(port)
        gateway = None
        try:
            gateway, url = await self._start_gateway(port)
            async with aiohttp.ClientSession(url) as http:
                began = time.monotonic()
                await self._place_all(http)
                records = await self._records(http)
                self.figures.seconds = time.monotonic() - began
        finally:
            for process in (gateway, sipp):
                if process is not None and process.returncode is None:
                    process.terminate()
                    await process.wait()
        self._compare(records, _said(self._log.read_text() if self._log.exists() else ""))
        return self.figures

    async def _start_sipp(self, port: int) -> asyncio.subprocess.Process:
        quiet = asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(
            "sipp", "-sf", str(SCENARIO), "-i", "127.0.0.1", "-p", str(port), "-t", "u1", "-nostdin", "-trace_logs",
            "-log_file", str(self._log), "-trace_err", "-error_file", str(self._folder / "sipp-errors.log"),
            cwd=self._folder, stdin=quiet, stdout=quiet, stderr=quiet,
        )  # fmt: skip
        await asyncio.sleep(0.5)
        if process.returncode is not None:
            raise RuntimeError(f"sipp has ended with {process.returncode}")
        return process

    async def _start_gateway(self, port: int) -> tuple[asyncio.subprocess.Process, str]:
        settings = dict(read_yaml(ROOT / "bench" / "phones.yaml").data)
        (trunk,) = settings["sip"]["trunks"]
        trunk = {**trunk, "outbound": {**trunk["outbound"], "port": port}}
        settings |= {
            "sip": {**settings["sip"], "listen": ["udp://127.0.0.1:0"], "trunks": [trunk]},
            "http": {"listen": "127.0.0.1:0"},
            "store": self._store,
            "recordings": str(self._folder / "recordings"),
            "record_calls": False,
        }
        config = self._folder / "gateway.yaml"
        config.write_text(json.dumps(settings))
        with (self._folder / "gateway.log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "gateway.cli", "serve", "--config", str(config),
                cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=log,
            )  # fmt: skip
        assert process.stdout is not None
        line = (await process.stdout.readline()).decode()
        url = next((word for word in line.replace(",", " ").split() if word.startswith("http://")), None)
        if url is None:
            await process.wait()
            raise RuntimeError(f"the gateway did not start:\n{(self._folder / 'gateway.log').read_text()[-2000:]}")
        return process, url.rstrip("/")

    async def _place_all(self, http: aiohttp.ClientSession) -> None:
        """In turn, by the shares of the kinds; `AT_ONCE` go on at the same time."""
        turns = [kind for kind in KINDS for _ in range(kind.share)]
        free = asyncio.Semaphore(AT_ONCE)

        async def one(number: int) -> None:
            kind = turns[number * 7 % len(turns)]
            async with free:
                await self._place(http, kind, f"+15557{kind.digits}{number:04}")

        await asyncio.gather(*(one(number) for number in range(self._calls)))

    async def _place(self, http: aiohttp.ClientSession, kind: Kind, to: str) -> None:
        order = {"to": to, "persona": "bench.Caller", "ring_timeout_s": RING_S}
        async with http.post("/v1/calls", json=order) as answer:
            body = await answer.json()
        if answer.status != 202:
            self.figures.refused += 1
            self.figures.wrong.append(f"{to}: refused with {answer.status} {body.get('type')}")
            return
        self.figures.placed[kind.digits] += 1
        self._numbers[to] = call_id = body["call_id"]
        if kind.cancelled:
            await asyncio.sleep(0.5)
            async with http.delete(f"/v1/calls/{call_id}") as answer:
                await answer.read()
        for _ in range(round(SETTLE_S / LOOK_EVERY_S)):
            if await self._outcome(http, call_id) is not None:
                return
            await asyncio.sleep(LOOK_EVERY_S)

    async def _outcome(self, http: aiohttp.ClientSession, call_id: str) -> str | None:
        async with http.get(f"/v1/calls/{call_id}") as answer:
            outcome: str | None = (await answer.json()).get("outcome") if answer.status == 200 else None
            return outcome

    async def _records(self, http: aiohttp.ClientSession) -> list[Mapping[str, Any]]:
        """All of them, by pages."""
        records: list[Mapping[str, Any]] = []
        cursor: str | None = None
        while True:
            query = {"limit": "200"} | ({"cursor": cursor} if cursor else {})
            async with http.get("/v1/calls", params=query) as answer:
                page = await answer.json()
            records += page["calls"]
            if not (cursor := page["next_cursor"]):
                return records

    def _compare(self, records: list[Mapping[str, Any]], said: Mapping[str, set[str]]) -> None:
        figures = self.figures
        figures.records = len(records)
        by_number: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
        for record in records:
            by_number[record["called"]].append(record)
        for number in self._numbers:
            kind, found = _BY_DIGITS[number[6:8]], by_number.pop(number, [])
            if len(found) != 1:
                figures.wrong.append(f"{number}: {len(found)} records")
            elif said.get(number) != {kind.said}:
                figures.wrong.append(f"{number}: sipp said {said.get(number)}, not {kind.said}")
            elif (found[0]["outcome"], found[0]["sip_status"] in kind.statuses) != (kind.outcome, True):
                what = f"{found[0]['outcome']}, {found[0]['sip_status']}, {found[0]['end_reason']}"
                figures.wrong.append(f"{number}: on record {what}; sipp: {kind.said}")
            else:
                figures.right[kind.digits] += 1
        figures.wrong += [f"{number}: a record of a call that nobody placed" for number in by_number]


def _said(text: str) -> dict[str, set[str]]:
    """What sipp did with each number, from its log."""
    said: dict[str, set[str]] = defaultdict(set)
    for line in text.splitlines():
        number, _, what = line.rpartition("outcome ")[2].partition(" ")
        if number.isdigit():
            said[f"+{number}"].add(what.strip())
    return said


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def table(figures: Figures) -> str:
    rows = [f"{'sipp':<18} {'record':<16} {'calls':>6} {'right':>6}"]
    for kind in KINDS:
        said = f"{kind.said} (ended by us)" if kind.cancelled else kind.said
        rows.append(f"{said:<18} {kind.outcome:<16} {figures.placed[kind.digits]:>6} {figures.right[kind.digits]:>6}")
    total = f"{'all':<18} {figures.records:<7} records  {figures.placed.total():>6} {figures.right.total():>6}"
    rows += [total, f"{figures.seconds:.0f} s, {figures.placed.total() / max(figures.seconds, 0.1):.1f} calls a second"]
    return "\n".join([*rows, *figures.wrong[:20]])


async def _run(args: argparse.Namespace) -> Figures:
    with tempfile.TemporaryDirectory(prefix="trunkline-outcomes-") as name:
        folder = Path(name)
        if args.store == "sqlite":
            return await Run(folder, f"sqlite:///{folder}/calls.db", args.calls).run()
        if args.url:
            store = {"url": args.url} | ({"password": {"file": args.password_file}} if args.password_file else {})
            return await Run(folder, store | {"gateway_id": "outcomes"}, args.calls).run()
        from tests.integration.store.postgres_server import PASSWORD, PostgresServer

        server = PostgresServer()
        try:
            (folder / "password").write_text(PASSWORD)
            store = {
                "url": server.url(server.database()), "password": {"file": str(folder / "password")},
                "gateway_id": "outcomes", "waiting": str(folder / "waiting"),
            }  # fmt: skip
            return await Run(folder, store, args.calls).run()
        finally:
            server.close()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.outbound_outcomes", description=__doc__)
    parser.add_argument("--store", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--calls", type=int, default=1000, help="default: 1000")
    parser.add_argument("--url", help="postgresql: an empty database that is there already")
    parser.add_argument("--password-file", help="postgresql: of its user")
    figures = asyncio.run(_run(parser.parse_args()))
    print(table(figures))
    return 1 if figures.failed else 0


if __name__ == "__main__":
    sys.exit(main())
