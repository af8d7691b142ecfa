"""The messages of `edge_fuzz.py`: good and odd SIP, and how it is broken."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

SDP = """\
v=0
o=- 7 1 IN IP4 127.0.0.1
s=-
c=IN IP4 127.0.0.1
t=0 0
m=audio 40000 RTP/AVP 0 8 9 101 13
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:9 G722/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-16
a=ptime:20
a=maxptime:40
a=rtcp:40001 IN IP4 127.0.0.1
a=sendrecv
""".replace("\n", "\r\n")
SECURE = SDP.replace("RTP/AVP", "RTP/SAVP") + (
    "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj\r\n"
)
WEB = SDP.replace("RTP/AVP", "UDP/TLS/RTP/SAVPF") + "a=fingerprint:sha-256 AB:CD\r\na=setup:actpass\r\na=rtcp-mux\r\n"
VIDEO = SDP + "m=video 40002 RTP/AVP 96\r\na=rtpmap:96 VP8/90000\r\nm=image 40004 udptl t38\r\n"
BODIES = [SDP] * 6 + [
    SECURE,
    WEB,
    VIDEO,
    SDP.replace("sendrecv", "sendonly"),
    SDP.replace("127.0.0.1", "media.example"),
]
ODD_HEADERS = r"""
Allow: INVITE, ACK,
Allow: INVITE, ACK, BYE, CANCEL, UPDATE, PRACK
Supported: timer,,replaces
Supported: 100rel
Require: 100rel
Require: precondition
Expires: 180;x
Authorization: Bearer abc.def
Session-Expires: 1800;
Session-Expires: 90;refresher=uac
Session-Expires: 4294967296
Min-SE: 90
Min-SE: x
Replaces: a;to-tag=b
Replaces: a;to-tag=b;from-tag=c
Event: dialog
Subscription-State: active;
Refer-To: <sip:a@b
RAck: 1 1 INVITE
RAck: 99999999999 1 INVITE
Content-Disposition: session;handling=optional
Content-Encoding: gzip
MIME-Version: 1
Via: SIP/2.0/UDP a
Route: <sip:127.0.0.1;lr>
Route: <sip:a.example;lr
Record-Route: <sip:10.0.0.1;lr>
Reason: Q.850;cause=16;text="a\
P-Asserted-Identity: "a" <sip:1@b>;x
Accept: application/sdp;;
Privacy: id;
Retry-After: x
Warning: 399 x
Timestamp: 1.5 x
Date: never
Proxy-Authorization: Digest username="
Join: x
Max-Breadth: 0
Contact: *
Info-Package: foo
Recv-Info:
Server:
Call-Info: <
Alert-Info: <http://x>;y=
Unsupported:
""".strip().split("\n")
ODD_HEADERS += [
    "Subject: a\x0bX-Trunkline-Leg: c1",
    "Subject: a\u2028X-Trunkline-Leg: c1",
    "X-Long: " + "x" * 3000,
    "User-Agent: \xff\xfe",
]
INFO_BODIES = [
    "Signal=5",
    "Signal=",
    "Signal=5\r\nDuration=160\r\n",
    "Signal=\x7f",
    "5",
    "",
    "Duration=1",
    "Signal=5\r\nDuration=",
]
TYPES = ["application/sdp"] * 40 + [
    "application/dtmf-relay",
    "application/dtmf",
    "text/plain",
    "multipart/mixed;boundary=x",
    "x",
]
METHODS = ["INVITE"] * 3 + [
    "UPDATE",
    "UPDATE",
    "INFO",
    "INFO",
    "PRACK",
    "OPTIONS",
    "NOTIFY",
    "MESSAGE",
    "REFER",
    "SUBSCRIBE",
    "XYZZY",
]


_BRANCH = re.compile(r"\r\nv(?:ia)?\s*:.*?branch\s*=\s*([^;,\s]*)", re.IGNORECASE)
_TO_TAG = re.compile(r"^t(?:o)?\s*:.*;\s*tag\s*=\s*([^;\s]+)", re.IGNORECASE | re.MULTILINE)


class Answer:
    """An answer to a request that may have been broken, so that no strict reader would take it."""

    def __init__(self, data: bytes) -> None:
        head = data.partition(b"\r\n\r\n")[0].decode("utf-8", "surrogateescape")
        self.lines = head.split("\r\n")
        self.status = int(head.split(" ")[1])
        self.branch = branch_of(data)
        tag = _TO_TAG.search(head)
        self.to_tag = tag[1] if tag else ""

    def of(self, *names: str) -> list[str]:
        return [line for line in self.lines if line.partition(":")[0].strip().lower() in names]

    @property
    def cseq(self) -> str:
        return "".join(self.of("cseq")).partition(":")[2].strip()


def branch_of(data: bytes) -> str:
    found = _BRANCH.search(data.decode("utf-8", "surrogateescape"))
    return found[1] if found else ""


@dataclass
class Leg:
    """One call as its caller keeps it."""

    number: int
    cseq: int = 1
    to_tag: str = ""
    answered: bool = False

    @property
    def call_id(self) -> str:
        return f"call-{self.number}"

    def lines(self, method: str, cseq: int, branch: str) -> list[str]:
        tag = f";tag={self.to_tag}" if self.to_tag else ""
        return [
            f"{method} sip:+15550199@127.0.0.1:5060 SIP/2.0",
            f"Via: SIP/2.0/UDP 127.0.0.2:5060;branch={branch};rport",
            "Max-Forwards: 70",
            f'From: "Alice" <sip:+15550123@127.0.0.2>;tag=a{self.number}',
            f"To: <sip:+15550199@127.0.0.1>{tag}",
            f"Call-ID: {self.call_id}",
            f"CSeq: {cseq} {method}",
            "Contact: <sip:alice@127.0.0.2:5060>",
        ]


def message(
    lines: list[str], body: str = "", kind: str = "application/sdp", chance: random.Random | None = None
) -> bytes:
    """With `chance`, changed somewhere."""
    if body:
        lines = [*lines, f"Content-Type: {kind}"]
    if chance is not None:
        lines, body = broken_lines(lines, chance), broken_text(body, chance) if chance.random() < 0.6 else body
    data = body.encode("utf-8", "surrogateescape")
    head = "\r\n".join([*lines, f"Content-Length: {len(data)}", "", ""])
    return head.encode("utf-8", "surrogateescape") + data


def broken_lines(lines: list[str], chance: random.Random) -> list[str]:
    lines = list(lines)
    for _ in range(chance.randrange(3)):
        lines.insert(chance.randint(1, len(lines)), chance.choice(ODD_HEADERS))
    if chance.random() < 0.5:
        at = chance.randrange(len(lines))
        name, colon, value = lines[at].partition(": ")
        lines[at] = name + colon + broken_text(value, chance) if colon else lines[at]
    return [line.replace("\r", "").replace("\n", "").replace("\0", "") if ": " in line else line for line in lines]


def broken_text(text: str, chance: random.Random) -> str:
    """Cut, doubled, swapped, or with odd characters."""
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(text) + 1)
        match chance.randrange(7):
            case 0:
                text = text[:at] + chance.choice(';,"<>@/%=\\:\x7f\u2028\x0b\x85 0') + text[at:]
            case 1:
                text = text[:at] + text[at + chance.randint(1, 12) :]
            case 2:
                text = text[:at] + text[at : at + chance.randint(1, 30)] + text[at:]
            case 3:
                text = text[:at] + "9" * chance.choice([20, 130, 300, 1000]) + text[at:]
            case 4:
                text = text.rstrip() + chance.choice([";", ";x", ",", ";=", " ", ';a="'])
            case 5 if "\r\n" in text:
                parts = text.split("\r\n")
                chance.shuffle(parts) if chance.random() < 0.3 else parts.pop(chance.randrange(len(parts)))
                text = "\r\n".join(parts)
            case _:
                text = text.replace(chance.choice("0123456789 =:/"), chance.choice(["", "-1", "65536", "x", "  "]), 1)
    return text
