"""Every example in README and docs/ works exactly as printed."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import io
import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args
from urllib.parse import urlsplit

import pytest
from examples import DOCUMENTS, TREE, Block, Command, all_blocks, blocks, commands

from agent import AgentSession
from agent.providers.fakes import FakeLLM, FakeSTT, FakeTTS
from agent.providers.silero import SileroVAD
from agent.testing.virtual_clock import run_virtual
from gateway import cli
from gateway.campaigns.order import CampaignOrder
from gateway.config import load_settings
from gateway.config.located_yaml import read_yaml
from gateway.config.models import OpenAISettings, Settings
from gateway.dialplan import Dialplan
from gateway.dialplan.persona_check import persona_problems
from telephony.call import CallInfo, Direction, OutcomeKind
from telephony.fakes import FakeLeg
from telephony.media.frames import SILENCE
from telephony.rooms.local import LocalRoom

MINIMAL = {
    "sip": {"listen": ["udp://127.0.0.1:5060"], "trunks": [{"name": "t", "allow": ["127.0.0.0/8"]}]},
    "dialplans": ["demo.yaml"],
    "livekit": {"url": "ws://127.0.0.1:7880", "api_key": {"env": "K"}, "api_secret": {"env": "S"}},
}


def named(each: Any) -> str:
    return str(each)


def namespace(document: Path, before: int) -> dict[str, Any]:
    """The definitions of the document's complete Python blocks above that line."""
    names: dict[str, Any] = {}
    for block in blocks(document):
        if block.language == "python" and not block.mark and block.line < before and "def test_" not in block.text:
            exec(compile(block.text, str(block), "exec"), names)
    return names


def run_inside(block: Block, names: dict[str, Any]) -> Any:
    """The block as the body of an `async` function that knows `names`; it may `await`."""
    body = "".join(f"    {line}\n" for line in block.text.splitlines())
    scope = {**names}
    exec(compile(f"async def example():\n{body}    return locals()\n", str(block), "exec"), scope)
    return scope["example"]()


# --- what blocks are run with -------------------------------------------------------------------------------------


def with_a_call(block: Block) -> None:
    """A caller on the line who says nothing: the silence ladder ends it."""

    async def call() -> None:
        loop = asyncio.get_running_loop()
        room = LocalRoom("example", loop)
        leg = room.add_leg("caller")

        async def phone() -> None:
            while True:
                await asyncio.sleep(0.02)
                leg.push(SILENCE, loop.time())
                leg.pull(loop.time())

        clock = asyncio.create_task(phone())
        verbs = FakeLeg(CallInfo("c1", Direction.INBOUND, "+1", None, "t"), now=loop.time)
        names = namespace(block.document, block.line)
        names |= {"AgentSession": AgentSession, "SileroVAD": SileroVAD, "room": room, "leg": verbs, "visit": None}
        names |= {"stt": FakeSTT(), "llm": FakeLLM(), "tts": FakeTTS()}
        try:
            done = await run_inside(block, names)
        finally:
            clock.cancel()
            await asyncio.gather(clock, return_exceptions=True)
            await room.close()
        assert done["closed"].reason == "caller_silent"

    run_virtual(call())


def with_the_edge(block: Block) -> None:
    from telephony.edge import Edge, EdgeSettings, Trunk
    from telephony.edge.fakes import FakeAdmitter
    from telephony.edge.protocol import Refuse

    settings = EdgeSettings(listen=("udp://127.0.0.1:0",), trunks=(Trunk("t", ("127.0.0.0/8",)),))
    told = dict.fromkeys(("refused", "over", "cancelled"), lambda _: None)
    asyncio.run(
        run_inside(block, {"Edge": Edge, "settings": settings, "admitter": FakeAdmitter(Refuse(404, "")), **told})
    )


def with_livekit_sip(block: Block) -> None:
    from telephony.livekit.trunk import dialing
    from telephony.livekit.trunk.fakes import FakeSipApi
    from telephony.livekit.trunk.objects import Found, OutboundTrunk

    class Api(FakeSipApi):
        def __init__(self, access: object) -> None:
            super().__init__(
                (Found("T1", True, OutboundTrunk("trunkline:outbound:carrier", "sip.example.net", ("+1",))),)
            )

        async def __aenter__(self) -> Api:
            return self

        async def __aexit__(self, *_: object) -> None:
            pass

    names = {**vars(dialing), "LiveKitSipApi": Api, "access": None, "room": "call-1", "OutcomeKind": OutcomeKind}
    done = asyncio.run(run_inside(block, names))
    assert done["outcome"].transferred


def with_pjsip(block: Block) -> None:
    """In its own process: there can be one PJSIP per process."""
    program = (
        "import asyncio\nfrom telephony.pjsua import Endpoint, EndpointSettings, IncomingLeg\n"
        "def on_incoming(leg): asyncio.ensure_future(take(leg))\n"
        "async def example():\n"
        + "".join(f"    {line}\n" for line in block.text.splitlines())
        + "asyncio.run(example())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stderr


def with_a_conversation(block: Block) -> None:
    """The lines of a test with the clinic."""
    import pytest as pytest_itself

    from agent.providers.rules import RulesLLM
    from agent.testing import TextCall, run_text
    from agent.testing.personas import load_persona

    async def conversation() -> None:
        call = TextCall(load_persona("dialplans/clinic.py:Reception", TREE / "tests"), RulesLLM())
        await run_inside(block, {"call": call, "pytest": pytest_itself})
        await call.aclose()

    run_text(conversation())


def with_a_signed_request(block: Block) -> None:
    from gateway.events.posting import signed_headers, signer

    body = '{"type":"call.ended"}'
    headers = signed_headers(signer("s3cret"), "e1", body, datetime.now(UTC))
    done = asyncio.run(run_inside(block, {"secret": b"s3cret", "body": body, "headers": headers}))
    assert done["event"] == {"type": "call.ended"}


HARNESSES: dict[str, Callable[[Block], None]] = {
    "a caller who says nothing": with_a_call,
    "the edge": with_the_edge,
    "LiveKit SIP": with_livekit_sip,
    "PJSIP": with_pjsip,
    "a conversation": with_a_conversation,
    "a signed request": with_a_signed_request,
}


# --- Python -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", all_blocks("python"), ids=named)
def test_python(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if block.mark == "run with":
        HARNESSES[block.what](block)
    elif "def test_" in block.text or "@pytest.fixture" in block.text:
        file = tmp_path / "test_example.py"
        file.write_text(block.text)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", str(tmp_path / "none.ini")]
        (tmp_path / "none.ini").write_text("[pytest]\n")
        command += ["--rootdir", str(TREE), str(file)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=TREE, timeout=55, check=False)
        assert done.returncode in ((0,) if "def test_" in block.text else (0, 5)), done.stdout + done.stderr
    else:
        monkeypatch.delenv("LIVEKIT_URL", raising=False)
        monkeypatch.setitem(sys.modules, "example_of_the_docs", SimpleNamespace())
        names = {"__name__": "example_of_the_docs", **namespace(block.document, block.line)}
        names["__name__"] = "example_of_the_docs"
        exec(compile(block.text, str(block), "exec"), names)


# --- YAML and others ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", all_blocks("yaml"), ids=named)
def test_yaml(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dialplan with the personas of its document or of the tree, a recorded call, a campaign, or settings, whole or a
    part."""
    data = read_yaml(tmp_path / "example.yaml", block.text).data
    assert isinstance(data, dict)
    if "numbers" in data or ("outbound" in data and "sip" not in data):
        a_dialplan(block, tmp_path)
    elif "timeline" in data:
        a_recorded_call(block, block.text, tmp_path)
    elif "pacing" in data:
        CampaignOrder.model_validate(plain(data))
    elif "model" in data:  # a part of the recorded call above it
        (whole,) = [other for other in blocks(block.document) if "timeline:" in other.text]
        a_recorded_call(block, whole.text + block.text, tmp_path)
    else:
        parts = {key: MINIMAL[key] for key in ("sip", "dialplans")}
        settings_file = json.dumps({**parts, **plain(data)})
        if "livekit" in data:
            settings_file = json.dumps(
                {**MINIMAL, **plain(data), "livekit": {**MINIMAL["livekit"], **plain(data["livekit"])}}
            )
        load_settings("example.yaml", settings_file)
        if "sip" in data and "dialplans" in data:
            load_settings("example.yaml", block.text)


def plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, tuple) else value


def a_dialplan(block: Block, folder: Path) -> None:
    for persona in (TREE / "dialplans").glob("*.py"):
        shutil.copy(persona, folder)
    for other in blocks(block.document):
        if other.language == "python" and other.file_name:
            (folder / other.file_name).write_text(other.text)
    (folder / "example.yaml").write_text(block.text)
    plan = Dialplan.load([folder / "example.yaml"])
    assert plan.personas
    assert [problem for ref in plan.personas for problem in persona_problems(ref, ["espeak"])] == []


def a_recorded_call(block: Block, text: str, folder: Path) -> None:
    from agent.testing import load_fixture

    clip = next((TREE / "tests" / "fixtures" / "audio").rglob("*.wav"))
    for name in re.findall(r"speech: ([\w.]+)", text):
        shutil.copy(clip, folder / name)
    (folder / "fixture.yaml").write_text(text)
    load_fixture(folder)


def test_toml() -> None:
    for block in all_blocks("toml"):
        assert tomllib.loads(block.text), block


@pytest.mark.parametrize("block", all_blocks("json"), ids=named)
def test_json(block: Block, tmp_path: Path) -> None:
    """The gateway's own answer has the same keys, and it takes the orders."""
    from gateway.api.deps import HealthReport
    from gateway.events.catalogue import Event
    from gateway.events.kinds import EVENTS, EventType
    from gateway.outbound.order import CallOrder
    from telephony.media.answering.wording import read_wording

    shown = json.loads(block.text)
    if block.document.name == "events.md":
        data = EVENTS[EventType(shown["type"])].model_validate(shown["data"])
        event = Event(shown["id"], datetime.fromisoformat(shown["timestamp"]), data)
        assert json.loads(event.to_json()) == shown
        return
    if block.document.name == "answering.md":
        assert CallOrder.model_validate_json(block.text).answering is not None
        return
    if block.document.name == "answering-wording.md":
        path = tmp_path / "own.json"
        path.write_text(block.text)
        assert read_wording(path).matches("gadewch neges ar ôl y tôn", over=True)
        return
    assert set(shown) <= set(HealthReport.__dataclass_fields__), f"{block}: not the health report: say here what it is"


def test_no_block_is_of_a_kind_that_is_not_run() -> None:
    """Blocks without a language are pictures and output; the commands in them are checked below."""
    languages = {block.language for document in DOCUMENTS for block in blocks(document)}
    assert languages <= {"", "console", "python", "yaml", "json", "toml"}
    unknown = [f"{b}: {b.what}" for b in all_blocks("python") if b.mark == "run with" and b.what not in HARNESSES]
    assert unknown == []


# --- commands -----------------------------------------------------------------------------------------------------

RUN = {"check", "explain"}  # these need no phone, no server and nobody at the keyboard


@pytest.mark.parametrize("command", commands("trunkline"), ids=named)
def test_a_command_is_one(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command line accepts it; commands that can run here are run, with files from the document's own blocks if
    they name them."""
    words = command.words()[1:]
    own = {block.file_name: block.text for block in blocks(command.document) if block.file_name}
    if any(word.partition(":")[0] in own for word in words):
        monkeypatch.chdir(tmp_path)
        for name, text in own.items():
            Path(name).write_text(text)
    else:
        monkeypatch.chdir(TREE)
    try:
        args = parsed(words)
    except SystemExit:
        said = capsys.readouterr().err
        assert command.mention and re.search("arguments .*required", said), f"{command}: {said}"
        return
    if any(re.fullmatch("[A-Z_]+", word) for word in words) or len(words) == 1:
        return  # its form is shown, not a use
    if words[0] in RUN and all(Path(word).exists() for word in words if word.endswith(".yaml")):
        assert args.run(args) == 0, f"{command}: {capsys.readouterr()}"
    elif words[0] == "console" and Path(words[1].partition(":")[0]).exists():
        monkeypatch.setattr(sys, "stdin", io.StringIO("hello\n\n"))
        assert args.run(args) == 0


def parsed(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="trunkline")
    subparsers = parser.add_subparsers(required=True)
    for name in cli.COMMANDS:
        importlib.import_module(f"gateway.commands.{name}").add_parser(subparsers)
    return parser.parse_args(words)


@pytest.mark.parametrize("command", commands("make"), ids=named)
def test_a_target_of_make_is_there(command: Command) -> None:
    targets = re.findall(r"^([\w-]+):", (TREE / "Makefile").read_text(), re.MULTILINE)
    assert command.words()[1] in targets


@pytest.mark.parametrize("command", commands("curl"), ids=named)
def test_a_request_is_one_that_the_api_knows(command: Command) -> None:
    from gateway.api.openapi import description
    from gateway.api.routes import ROUTES

    words = command.words()
    (url,) = [word for word in words if "/" in word and not word.startswith(("Authorization", "{"))]
    path = urlsplit(url if "//" in url else f"http://{url}").path
    method = words[words.index("-X") + 1] if "-X" in words else "GET"
    (route,) = [each for each in ROUTES if (each.method, each.path) == (method, path)]
    if "--json" in words:
        assert route.body is not None
        route.body.model_validate_json(words[words.index("--json") + 1])
    described = description()["paths"][path][method.lower()]
    known = {parameter["name"] for parameter in described.get("parameters", ())}
    given = {words[index + 1].partition("=")[0] for index, word in enumerate(words) if word == "-d"}
    assert given <= known


# --- names in tables ----------------------------------------------------------------------------------------------


def test_the_providers_page_names_the_settings_that_there_are() -> None:
    """All of `providers.openai`, and nothing else."""
    text = (TREE / "docs" / "providers.md").read_text()
    section = text.partition("## OpenAI")[2].partition("\n## ")[0]
    table = section.partition("| setting |")[2].partition("\n\n")[0]
    shown = {
        name for cell in re.findall(r"^\| (`.+?`) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", cell)
    }
    assert shown == set(OpenAISettings.model_fields)


def test_the_agents_page_names_the_canned_keys_and_closing_reasons_that_there_are() -> None:
    from agent.words import CANNED

    text = (TREE / "docs" / "agents.md").read_text()
    keys = text.partition("Canned keys: ")[2].partition(".")[0]
    assert set(re.findall(r"`(\w+)`", keys)) == set(CANNED)


def test_settings_in_the_text_exist() -> None:
    """`livekit.worker.http` and the like, wherever they are named."""
    groups = {name for name, field in Settings.model_fields.items() if _model(field.annotation) is not None}
    wrong = []
    for document in DOCUMENTS:
        for path in re.findall(r"`([a-z_]+(?:\.[a-z_]+)+)`", document.read_text()):
            first, *rest = path.split(".")
            if first not in groups or rest[-1] in ("py", "md", "yaml"):
                continue
            if not _there([first, *rest]) and not (first == "outbound" and _there(["sip", "trunks", first, *rest])):
                wrong.append(f"{document.name}: {path}")
    assert wrong == []


def _model(annotation: Any) -> Any:
    if hasattr(annotation, "model_fields"):
        return annotation
    return next((found for each in get_args(annotation) if (found := _model(each)) is not None), None)


def _there(path: list[str]) -> bool:
    model: Any = Settings
    for name in path:
        if model is None or name not in model.model_fields:
            return False
        model = _model(model.model_fields[name].annotation)
    return True
