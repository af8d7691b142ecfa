"""The torture messages of RFC 4475, each written out in rfc4475/ and sent through the whole core.

Of the RFC's 49 messages 3.1.1.11 (mpart01, a binary S/MIME body that a proxy never looks into) is left out. Where the
RFC leaves a choice, the edge takes the stricter one, since PJSIP is behind it.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from edge_world import make_world

from telephony.edge.hops import Hop
from telephony.sip.parse import Malformed, Request, parse

FOLDER = Path(__file__).parent / "rfc4475"
DROPPED = 0
FORWARDED = 100  # the caller gets 100, the worker the INVITE

# name: (section, what the caller gets back)
EXPECTED = {
    "wsinv": ("3.1.1.1", 481),  # well formed; a To tag of a dialog that we don't know
    "intmeth": ("3.1.1.2", DROPPED),  # valid, but PJSIP must not see the NUL
    "esc01": ("3.1.1.3", FORWARDED),
    "escnull": ("3.1.1.4", 405),
    "esc02": ("3.1.1.5", 405),
    "lwsdisp": ("3.1.1.6", 200),
    "longreq": ("3.1.1.7", FORWARDED),
    "dblreq": ("3.1.1.8", 405),
    "semiuri": ("3.1.1.9", 200),
    "transports": ("3.1.1.10", 200),
    "unreason": ("3.1.1.12", DROPPED),
    "noreason": ("3.1.1.13", DROPPED),
    "badinv01": ("3.1.2.1", FORWARDED),  # separators without values between them: harmless
    "clerr": ("3.1.2.2", 400),
    "ncl": ("3.1.2.3", 400),
    "scalar02": ("3.1.2.4", 400),
    "scalarlg": ("3.1.2.5", DROPPED),
    "quotbal": ("3.1.2.6", 400),
    "ltgtruri": ("3.1.2.7", 400),
    "lwsruri": ("3.1.2.8", 400),
    "lwsstart": ("3.1.2.9", 400),
    "trws": ("3.1.2.10", 400),
    "escruri": ("3.1.2.11", FORWARDED),
    "baddate": ("3.1.2.12", FORWARDED),
    "regbadct": ("3.1.2.13", 405),
    "badaspec": ("3.1.2.14", 400),
    "baddn": ("3.1.2.15", 200),
    "badvers": ("3.1.2.16", 505),
    "mismatch01": ("3.1.2.17", 400),
    "mismatch02": ("3.1.2.18", 400),
    "bigcode": ("3.1.2.19", DROPPED),
    "badbranch": ("3.2.1", DROPPED),  # no transaction can be told from it, so no answer could be matched either
    "insuf": ("3.3.1", DROPPED),
    "unkscm": ("3.3.2", 416),
    "novelsc": ("3.3.3", 416),
    "unksm2": ("3.3.4", 405),
    "bext01": ("3.3.5", 420),
    "invut": ("3.3.6", 415),
    "regaut01": ("3.3.7", 405),
    "multi01": ("3.3.8", 400),
    "mcl01": ("3.3.9", 400),
    "bcast": ("3.3.10", DROPPED),
    "zeromf": ("3.3.11", 200),  # OPTIONS that ends at us
    "cparam01": ("3.3.12", 405),
    "cparam02": ("3.3.13", 405),
    "regescrt": ("3.3.14", 405),
    "sdp01": ("3.3.15", FORWARDED),
    "inv2543": ("3.4.1", FORWARDED),
}


def test_every_message_has_an_expectation() -> None:
    assert {path.stem for path in FOLDER.glob("*.dat")} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_torture_message(name: str) -> None:
    section, status = EXPECTED[name]
    world = make_world(allow=("0.0.0.0/0",))
    world.caller((FOLDER / f"{name}.dat").read_bytes(), Hop("udp", "198.51.100.7", 5060, 0))
    got = [int(action.data.split()[1]) for action in world.public]
    assert got == ([] if status == DROPPED else [status]), f"RFC 4475 section {section}"
    assert len(world.workers) == (status == FORWARDED)
    assert world.context.counters["internal_errors"] == 0


def test_what_goes_to_a_worker_holds_no_line_of_the_outside() -> None:
    common = {"Content-Type: application/sdp", "CSeq: 8 INVITE"}
    for name in (name for name, (_, status) in EXPECTED.items() if status == FORWARDED):
        data = (FOLDER / f"{name}.dat").read_bytes()
        world = make_world(allow=("0.0.0.0/0",))
        world.caller(data, Hop("udp", "198.51.100.7", 5060, 0))
        before, after = parse(data), parse(world.workers[0].data)
        same = {line.text for line in before.lines} & {line.text for line in after.lines}
        assert {text for text in same - common if not text.startswith(("CSeq:", "Content-Length:"))} == set()
        assert {line.name for line in after.lines} <= {
            *("via", "max-forwards", "from", "to", "call-id", "cseq", "contact", "content-type", "content-length"),
            *("allow", "supported", "require", "session-expires", "min-se", "x-trunkline-leg"),
        }


def test_the_short_tortuous_invite_is_read_right() -> None:
    message = parse((FOLDER / "wsinv.dat").read_bytes())
    assert isinstance(message, Request)
    assert (message.cseq, message.max_forwards) == (9, 68)
    assert (message.from_tag, message.to_tag) == ("98asjd8", "1918181833n")
    assert (message.via.transport, message.via.host, message.via.branch) == ("UDP", "192.0.2.2", "390skdjuw")
    assert len(message.headers.get("via")) == 3


@pytest.mark.parametrize("name", ["scalarlg", "bigcode"])
def test_overlarge_responses_are_malformed(name: str) -> None:
    with pytest.raises(Malformed):
        parse((FOLDER / f"{name}.dat").read_bytes())
