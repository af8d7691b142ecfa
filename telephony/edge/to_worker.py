"""Rewrites messages for a worker: a fixed set of header fields, each from a parsed and checked value.

No byte from outside is copied. Optional values that cannot be parsed are left out, and the call continues.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import quote

from telephony.edge.capabilities import WORKERS_EXTENSIONS
from telephony.edge.dialogs import Dialog, ShownToWorker
from telephony.edge.protocol import WorkerAddress
from telephony.sip.causes import OWN_ANSWER, read_reasons
from telephony.sip.parse import Message, Request, Response
from telephony.sip.uri import phone_user, try_uri
from telephony.sip.writing import assemble, clean, phrase_of, quoted, stamp_via

__all__ = ["invite_to_worker", "own_to_worker", "request_to_worker", "response_to_worker", "shown_to_worker"]

_METHODS = frozenset(
    {"ACK", "BYE", "CANCEL", "INFO", "INVITE", "MESSAGE", "NOTIFY", "OPTIONS", "PRACK", "REFER", "SUBSCRIBE", "UPDATE"}
)
_TARGET_REFRESH = frozenset({"INVITE", "UPDATE"})
_USER_CHARACTERS = 64
_RACK = re.compile(r"(\d{1,10})[ \t]+(\d{1,10})[ \t]+INVITE\Z", re.ASCII)
_MOST_REASONS = 4
_UNPRINTABLE = re.compile(r"[^ -~]+")
_PHRASE_CHARACTERS = 64


def shown_to_worker(request: Request, worker: WorkerAddress, tag: str) -> ShownToWorker:
    """`tag` replaces the caller's tag."""
    called, caller = _user(phone_user(request.uri)), ""
    if (sender := try_uri(request.sender.uri)) is not None:
        caller = _user(phone_user(sender))
    uri = f"sip:{called}@{worker.host}:{worker.port}" if called else f"sip:{worker.host}:{worker.port}"
    public = f"<sip:{caller}@caller.invalid>" if caller else "<sip:caller.invalid>"
    return ShownToWorker(f"{public};tag={tag}", tag, f"<{uri}>", uri)


def _user(text: str) -> str:
    return quote(text[:_USER_CHARACTERS], safe="+*-.", errors="replace")


def request_to_worker(
    request: Request,
    dialog: Dialog,
    *,
    via: str,
    contact: str,
    extra: Mapping[str, str] | None = None,
    reliably: bool = False,
    within: bool = False,
) -> bytes:
    """The caller's request. `contact`: where the worker sends its own requests; `extra`: our headers; `reliably`: ask
    for reliable provisional answers, if the caller supports them (RFC 3262); `within`: for the worker it is one within
    its dialog, whatever it is for the caller."""
    method = request.method
    left = 70 if request.max_forwards is None else max(0, request.max_forwards - 1)
    in_dialog = within or bool(request.to_tag)
    cseq = request.cseq + dialog.public.cseq_shift
    texts = [f"Via: {via}", f"Max-Forwards: {left}", *_identity(dialog, cseq, method, tagged=in_dialog)]
    if method in _TARGET_REFRESH:
        texts.append(f"Contact: {contact}")
        texts += _session_headers(request, reliably=reliably)
    elif method == "PRACK":
        texts += _rack(request)
    elif method in ("BYE", "CANCEL"):
        texts += _reason(request)
    texts += [f"{name}: {clean(value)}" for name, value in (extra or {}).items()]
    uri = dialog.worker.contact if in_dialog and dialog.worker.contact else dialog.shown.uri
    return assemble(f"{method} {uri} SIP/2.0", _typed(texts, request.worker_body), request.worker_body)


def own_to_worker(method: str, dialog: Dialog, cseq: int, via: str, reason: str = "", *, to_tag: str = "") -> bytes:
    """The edge's own request in the caller's stead: CANCEL, ACK or BYE. `to_tag`: for the ACK of a non-2xx answer to
    the INVITE."""
    in_dialog = method != "CANCEL" and not to_tag
    texts = [f"Via: {via}", "Max-Forwards: 70", *_identity(dialog, cseq, method, tagged=in_dialog, to_tag=to_tag)]
    texts.append(f"User-Agent: {OWN_ANSWER}")
    if reason:
        texts.append(f"Reason: {reason}")
    uri = (dialog.worker.contact if in_dialog else dialog.shown.uri) or dialog.worker.contact or dialog.shown.uri
    return assemble(f"{method} {uri} SIP/2.0", texts)


def invite_to_worker(dialog: Dialog, cseq: int, via: str, contact: str, body: bytes) -> bytes:
    """The edge's own re-INVITE in the public side's stead."""
    texts = [f"Via: {via}", "Max-Forwards: 70", *_identity(dialog, cseq, "INVITE", tagged=True), f"Contact: {contact}"]
    uri = dialog.worker.contact or dialog.shown.uri
    return assemble(f"INVITE {uri} SIP/2.0", _typed(texts, body), body)


def _identity(dialog: Dialog, cseq: int, method: str, *, tagged: bool, to_tag: str = "") -> list[str]:
    shown = dialog.shown
    to_tag = to_tag or (dialog.worker.tag if tagged else "")
    tag = f";tag={to_tag}" if to_tag else ""
    return [
        f"From: {shown.public}",
        f"To: {shown.worker}{tag}",
        f"Call-ID: {dialog.worker.call_id}",
        f"CSeq: {cseq} {method}",
    ]


def response_to_worker(
    response: Response,
    asked: Request,
    received_from: tuple[str, int],
    contact: str,
    *,
    to_tag: str = "",
    why: Sequence[str] = (),
) -> bytes:
    """The public side's answer to the worker's request `asked`, returned with that request's lines. `to_tag`: the
    request began the dialog, so PJSIP does not act on the answer by itself. `why`: our Reason values."""
    status = response.status if to_tag else _status(response.status)
    texts: list[str] = []
    for line in asked.lines:
        if line.name == "via":
            texts.append(f"Via: {stamp_via(line.value, asked.via, *received_from)}")
        elif line.name == "to" and to_tag:
            texts.append(f"{line.text};tag={to_tag}")
        elif line.name in ("from", "to", "call-id", "cseq"):
            texts.append(line.text)
    if asked.method in _TARGET_REFRESH and status < 300:
        texts.append(f"Contact: {contact}")
        texts += _allow(response)
    if (retry := response.value("retry-after")).isascii() and retry.isdigit() and len(retry) < 6:
        texts.append(f"Retry-After: {retry}")
    phrase = phrase_of(status)
    if to_tag:
        texts += [f"Reason: {value}" for value in why] or _reason(response)
        phrase = _UNPRINTABLE.sub("", response.reason)[:_PHRASE_CHARACTERS].strip() or phrase
    return assemble(f"SIP/2.0 {status} {phrase}", _typed(texts, response.worker_body), response.worker_body)


def _typed(texts: list[str], body: bytes) -> list[str]:
    return [*texts, "Content-Type: application/sdp"] if body else texts


def _status(status: int) -> int:
    """The same status, except challenges and redirections, on which PJSIP would act itself."""
    if status in (401, 407):
        return 403
    return 488 if 300 <= status < 400 else status


def _allow(message: Message) -> Iterator[str]:
    if methods := [method for method in message.headers.get("allow") if method in _METHODS]:
        yield f"Allow: {', '.join(dict.fromkeys(methods))}"


def _session_headers(request: Request, *, reliably: bool) -> Iterator[str]:
    """`reliably`: ask for reliable provisional answers, if the caller supports them."""
    headers = request.headers
    yield from _allow(request)
    for name, written in (("supported", "Supported"), ("require", "Require")):
        tokens = [token for token in map(str.lower, headers.get(name)) if token in WORKERS_EXTENSIONS]
        if name == "require" and reliably and "100rel" in map(str.lower, headers.get("supported")):
            tokens.append("100rel")
        if tokens:
            yield f"{written}: {', '.join(dict.fromkeys(tokens))}"


def _rack(request: Request) -> Iterator[str]:
    if (match := _RACK.match(request.value("rack"))) is not None and max(int(match[1]), int(match[2])) < 2**31:
        yield f"RAck: {int(match[1])} {int(match[2])} INVITE"


def _reason(message: Message) -> Iterator[str]:
    """Causes and texts of Reason (RFC 3326), for the call's record."""
    for reason in list(read_reasons(message.headers.get("reason")))[:_MOST_REASONS]:
        said = "".join(c for c in reason.text if c.isprintable())
        parts = ["Q.850" if reason.protocol == "Q.850" else "SIP"]
        parts += [f"cause={reason.cause}"] if reason.cause else []
        parts += [f"text={quoted(said)}"] if said else []
        if len(parts) > 1:
            yield f"Reason: {';'.join(parts)}"
