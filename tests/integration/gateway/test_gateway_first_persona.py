"""The first persona of the README, as it stands there, under `trunkline serve`: its tool finds `ctx.userdata`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gateway_process import RunningGateway, until
from misbehaving_model import model_server

from telephony.phone import Phone
from telephony.phone.analysis import loud_spans

TREE = Path(__file__).parents[3]


def block(document: str, first_line: str) -> str:
    _, _, rest = (TREE / document).read_text().partition(f"{first_line}\n")
    assert rest, f"{document} has no block that begins with {first_line}"
    return rest.partition("```")[0]


async def test_the_first_persona_of_the_readme(
    start_gateway: Callable[..., RunningGateway], tmp_path: Path, caller: str, speech: bytes
) -> None:
    folder = tmp_path / "clinic"
    folder.mkdir()
    (folder / "clinic.py").write_text(block("README.md", "# clinic.py"))
    dialplan = block("README.md", "# clinic.yaml").replace("mon-fri 08:00-18:00 not holidays", "mon-sun 00:00-24:00")
    (folder / "clinic.yaml").write_text(dialplan)
    with model_server() as model:
        gateway = start_gateway(
            dialplans=[str(folder / "clinic.yaml")],
            speech={"tts": ["espeak"], "llm": ["openai"]},
            providers={"openai": {"base_url": model.url, "model": "tool-free_slots"}},
        )
        async with Phone() as phone:
            call = await phone.call(gateway.uri("+15550100"), caller=caller)
            await until(lambda: loud_spans(call.received), 8, what="the greeting")
            await call.play(speech).done

            def answered() -> bool:
                return any(message["role"] == "tool" for asked in model.requests for message in asked["messages"])

            await until(answered, 10, what="the tool's result")
            await call.hang_up()
            record = await gateway.record(call.call_id)
        assert gateway.complaints() == []
    assert record["persona"] == "clinic.reception"
    (output,) = [event for event in record["events"] if event["type"] == "function_call_output"]
    assert (output["output"], output["is_error"]) == ('["9:30","10:15"]', False)
