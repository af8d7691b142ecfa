"""`trunkline worker`: refusals before anything is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.worker.server import AgentServer, WorkerCannotRun
from gateway.cli import main

SETTINGS = """
sip: {{listen: ["udp://127.0.0.1:0"], public_address: 127.0.0.1, trunks: [{{name: t, allow: ["127.0.0.0/8"]}}]}}
dialplans: [{folder}/plan.yaml]
speech: {{stt: [instant], llm: [instant], tts: [instant]}}
{livekit}
"""


def written(folder: Path, livekit: str) -> str:
    (folder / "personas.py").write_text("from agent import Agent\nclass P(Agent): ...\n")
    (folder / "plan.yaml").write_text('region: US\nnumbers: {"+15550100": personas.P}\n')
    file = folder / "worker.yaml"
    file.write_text(SETTINGS.format(folder=folder, livekit=livekit))
    return str(file)


@pytest.mark.parametrize(
    ("livekit", "words"),
    [
        ("", "livekit: required"),
        (
            "livekit: {url: 'ws://h', api_key: {env: NO_SUCH_KEY}, api_secret: {env: NO_SUCH_KEY}}",
            "NO_SUCH_KEY is not set",
        ),
        ("livekit: {url: 'h:7880', api_key: {env: A}, api_secret: {env: B}}", "livekit.url"),
        (
            "livekit: {url: 'ws://h', api_key: {env: A}, api_secret: {env: B}, worker: {load_threshold: 2.0}}",
            "livekit.worker.load_threshold",
        ),
    ],
)
def test_settings_that_cannot_be_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], livekit: str, words: str
) -> None:
    assert main(["worker", "--config", written(tmp_path, livekit)]) == 2
    assert words in capsys.readouterr().err


async def test_a_server_without_an_entrypoint() -> None:
    with pytest.raises(WorkerCannotRun, match="decorate an async function"):
        await AgentServer().run()


async def test_a_server_without_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LIVEKIT_URL", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET"):
        monkeypatch.delenv(name, raising=False)
    server = AgentServer(url="ws://h")
    server.rtc_session(agent_name="x")(entrypoint)
    with pytest.raises(WorkerCannotRun, match="LIVEKIT_API_KEY, LIVEKIT_API_SECRET must be set"):
        await server.run()


async def test_an_entrypoint_that_other_processes_cannot_find() -> None:
    server = AgentServer(url="ws://h", api_key="k", api_secret="s")

    @server.rtc_session()
    async def inner(_: object) -> None: ...

    with pytest.raises(WorkerCannotRun, match="at the top of a module"):
        await server.run()
    with pytest.raises(ValueError, match="one rtc_session"):
        server.rtc_session()(entrypoint)


async def entrypoint(_: object) -> None: ...
