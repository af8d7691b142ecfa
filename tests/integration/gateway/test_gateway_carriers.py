"""The recipe for Kamailio in front of gateways, as docs/carriers.md has it: a call in each direction."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from gateway_process import RunningGateway
from test_gateway_outbound import TO, ask, closed_record, plan

from telephony.phone import Phone
from tests.free_ports import free_port
from tests.integration.pjsua.kamailio import kamailio

StartGateway = Callable[..., RunningGateway]
RECIPES = Path(__file__).parents[3] / "docs" / "carriers.md"
PLAN = """
numbers: {"+15550101": reminder.Reminder}
outbound: [reminder.Reminder]
"""
BEFORE = """
debug=1
log_stderror=yes
children=2
listen=udp:127.0.0.1:PORT
listen=tcp:127.0.0.1:PORT
loadmodule "pv.so"
loadmodule "sl.so"
loadmodule "tm.so"
loadmodule "rr.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "dispatcher.so"
modparam("dispatcher", "list_file", "LIST")
modparam("dispatcher", "xavp_dst", "_dsdst_")
modparam("dispatcher", "xavp_ctx", "_dsctx_")
"""


def recipe(gateway: int, folder: Path) -> str:
    """The blocks of the page's last section, with our addresses."""
    blocks = RECIPES.read_text().split("## Kamailio in front")[1].split("```")
    (folder / "dispatcher.list").write_text(f"1 sip:127.0.0.1:{gateway}\n")
    routes = next(block for block in blocks if "request_route" in block)
    routes = routes.replace("sip:sip.carrier.example", "sip:PHONE")
    return BEFORE.replace("LIST", str(folder / "dispatcher.list")) + routes


def trunks(proxy: int) -> dict[str, Any]:
    outbound = {
        "host": "sip.carrier.example",
        "proxy": {"host": "127.0.0.1", "port": proxy, "transport": "udp"},
        "destinations": ["+1555700"],
        "caller": "+15550120",
    }
    return {"trunks": [{"name": "kamailio", "allow": ["127.0.0.0/8"], "region": "US", "outbound": outbound}]}


async def test_kamailio_in_front(start_gateway: StartGateway, tmp_path: Path, caller: str) -> None:
    udp = free_port()
    async with (
        Phone() as phone,
        kamailio(tmp_path, phone=phone.address, template=recipe(udp, tmp_path)) as port,
    ):
        ours = plan(tmp_path)
        (tmp_path / "plan.yaml").write_text(PLAN)
        gateway = start_gateway(sip={"listen": [f"udp://127.0.0.1:{udp}"], **trunks(port)}, **ours)
        _, placed, _ = await ask(gateway, "POST", "/v1/calls", {"to": TO, "persona": "reminder.Reminder"})
        out = await phone.incoming()
        assert out.asked.message.uri_text.startswith(f"sip:{TO}@sip.carrier.example")
        await out.answer()
        await out.hang_up()
        record = await closed_record(gateway, placed["call_id"])
        assert (record["outcome"], record["ended_by"]) == ("answered", "caller")
        inward = await phone.call(f"sip:+15550101@127.0.0.1:{port}", caller=caller)
        await inward.hang_up()
        (inbound,) = await gateway.closed_records(caller, 1)
        assert (inbound["outcome"], inbound["trunk"]) == ("answered", "kamailio")
