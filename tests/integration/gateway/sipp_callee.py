"""The real sipp as the one who is called: its scenario is written from steps, and runs on a port of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

__all__ = ["ANSWER", "GOODBYE", "answer", "callee", "described", "hears", "leaves", "pause", "says"]

# Of the last INVITE.
_KEPT = {"Via": ".*", "From": ".*", "To": ".*", "CSeq": ".*", "Contact": "sip:[^&gt;]*"}


def described(port: int = 4000, codec: str = "0 PCMU/8000") -> str:
    """A session description. `codec`: payload type, name and rate."""
    number, name = codec.split()
    return (
        f"v=0\no=- 1 1 IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio {port} RTP/AVP {number}\n"
        f"a=rtpmap:{number} {name}\na=sendrecv\n"
    )


def hears(method: str, *, has: Sequence[str] = (), timeout_ms: int = 8000) -> str:
    """Wait for a request. `has`: patterns that must be in it."""
    kept = "".join(
        f'<ereg regexp="{pattern}" search_in="hdr" header="{name}:" assign_to="{name.lower()}"/>'
        for name, pattern in _KEPT.items()
    )
    checks = "".join(f'<ereg regexp="{pattern}" search_in="msg" check_it="true" assign_to="has"/>' for pattern in has)
    action = (kept if method == "INVITE" else "") + checks
    inner = f"<action>{action}</action>" if action else ""
    return f'<recv request="{method}" timeout="{timeout_ms}">{inner}</recv>'


def says(status: int, *headers: str, tag: str = "a", body: str = "", of: str = "INVITE", reason: str = "Said") -> str:
    """An answer to the last INVITE, or to the request (`of`) that has just been heard."""
    if of == "INVITE":
        lines = ["Via:[$via]", "From:[$from]", f"To:[$to];tag={tag}", "[last_Call-ID:]", "CSeq:[$cseq]"]
    else:
        lines = ["[last_Via:]", "[last_From:]", "[last_To:]", "[last_Call-ID:]", "[last_CSeq:]"]
    return _send(f"SIP/2.0 {status} {reason}", [*lines, *headers], body)


def answer(tag: str = "a", *headers: str, body: str | None = None) -> str:
    return says(200, *headers, tag=tag, body=described() if body is None else body)


def leaves(*headers: str, tag: str = "a", number: int = 10) -> str:
    """Hang up, and hear the answer."""
    lines = ["Via: SIP/2.0/UDP [local_ip]:[local_port];branch=[branch]", f"From:[$to];tag={tag}", "To:[$from]"]
    lines += ["[last_Call-ID:]", f"CSeq: {number} BYE", "Max-Forwards: 70", *headers]
    return _send("BYE [$contact] SIP/2.0", lines, "", retrans=True) + '<recv response="200"></recv>'


def pause(milliseconds: int) -> str:
    return f'<pause milliseconds="{milliseconds}"/>'


def _send(start: str, lines: Sequence[str], body: str, *, retrans: bool = False) -> str:
    contact = "Contact: <sip:callee@[local_ip]:[local_port]>"
    content = [*(["Content-Type: application/sdp"] if body else []), "Content-Length: [len]", "", *body.splitlines()]
    own = [] if any(line.startswith("Contact:") for line in lines) else [contact]
    text = "\n".join([start, *lines, *own, *content])
    again = ' retrans="500"' if retrans else ""
    return f"<send{again}><![CDATA[\n\n{text}\n\n]]></send>"


@asynccontextmanager
async def callee(folder: Path, port: int, *steps: str, seconds: int = 20) -> AsyncIterator[Path]:
    """Called once; with the file of all messages. Raises AssertionError with sipp's own words if the call does not go
    as the steps say."""
    names = ",".join((*map(str.lower, _KEPT), *(("has",) if any('"has"' in step for step in steps) else ())))
    scenario = folder / f"callee{port}.xml"
    scenario.write_text(
        '<?xml version="1.0" encoding="UTF-8" ?>\n<!DOCTYPE scenario SYSTEM "sipp.dtd">\n'
        f'<scenario name="callee">{"".join(steps)}<Reference variables="{names}"/></scenario>\n'
    )
    errors = folder / f"errors{port}.log"
    errors.unlink(missing_ok=True)
    messages = folder / f"messages{port}.log"
    process = await asyncio.create_subprocess_exec(
        "sipp", "-sf", str(scenario), "-i", "127.0.0.1", "-p", str(port), "-m", "1", "-nostdin", "-nd",
        "-timeout", f"{seconds}s", "-timeout_error", "-trace_err", "-error_file", str(errors),
        "-trace_msg", "-message_file", str(messages), "-message_overwrite", "true",
        cwd=folder, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with asyncio.timeout(5):
            while not _bound(port):
                assert process.returncode is None, f"sipp did not start: {_words(errors)}"
                await asyncio.sleep(0.02)
        yield messages
        async with asyncio.timeout(seconds + 5):
            code = await process.wait()
        assert code == 0, f"sipp: {code}\n{_words(errors)}"
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _words(errors: Path) -> str:
    return errors.read_text()[-3000:] if errors.exists() else "no word"


def _bound(port: int) -> bool:
    wanted = f"0100007F:{port:04X}"
    return any(line.split()[1] == wanted for line in Path("/proc/net/udp").read_text().splitlines()[1:])


ANSWER = hears("INVITE") + says(180) + answer() + hears("ACK")
GOODBYE = hears("BYE", has=["Reason: Q.850;cause=16"]) + says(200, of="BYE")
