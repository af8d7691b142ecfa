"""Everything the warm parent loads works in its children, without being loaded or copied again."""

from __future__ import annotations

import json
import subprocess
import sys

SCRIPT = """
import asyncio, gc, json, os, sys
import psutil
from agent.clock import ThreadOffload
from agent.providers import _sphinx, silero
from agent.providers.base import Expectations
from agent.providers.registry import ProviderSettings, build_stt, build_tts, build_vad, preload
from telephony.media.frames import AudioFrame

threads = psutil.Process().num_threads()  # numpy's
preload(["silero", "pocketsphinx", "espeak", "rules", "instant", "openai/gpt-4o-mini"], calls=4)
assert psutil.Process().num_threads() == threads
silero.Model = None  # one more can't be made
ORDERS = Expectations(("where is my order", "speak to a person"))


def own_mib():
    return psutil.Process().memory_full_info().uss / 2**20


async def talk():
    start = own_mib()
    tts = build_tts("espeak", ProviderSettings(), ThreadOffload())
    pcm = bytes(4800)
    async for piece in tts.synthesize("where is my order", voice="en-us", language="en"):
        pcm += piece.pcm
    pcm += bytes(4800)
    after_tts = own_mib()
    frames = [AudioFrame(pcm[at : at + 320], at / 16000) for at in range(0, len(pcm) - 320, 320)]
    streams = [build_vad("silero").stream() for _ in range(4)]
    loudest = [max(p for frame in frames for p, _ in stream.push(frame)) for stream in streams]
    after_vad = own_mib()
    stt = build_stt("pocketsphinx", ProviderSettings(), ThreadOffload())
    await stt.warm()
    stream = stt.stream(language="en", expectations=ORDERS)
    for frame in frames:
        stream.push(frame)
    stream.flush()
    heard = await anext(aiter(stream))
    await stream.aclose()
    return {"heard": heard.text, "loudest": loudest, "recognisers": _sphinx.pooled(),
            "mib": [start, after_tts - start, after_vad - after_tts, own_mib() - after_vad]}

gc.collect(); gc.freeze()
reader, writer = os.pipe()
for _ in range(2):
    if os.fork() == 0:
        os.write(writer, json.dumps(asyncio.run(talk())).encode() + b"\\n")
        os._exit(0)
    os.wait()
os.close(writer)
print(os.read(reader, 65536).decode())
"""


def test_preloaded_providers_work_in_forked_children() -> None:
    run = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=50, check=False)
    assert run.returncode == 0, run.stderr
    children = [json.loads(line) for line in run.stdout.split("\n") if line]
    assert len(children) == 2
    for child in children:
        assert child["heard"] == "where is my order"
        assert min(child["loudest"]) > 0.9
        assert child["recognisers"] == 2  # nothing was loaded anew
        assert sum(child["mib"]) < 30, child["mib"]


OFFLINE_SET = """
import asyncio, gc, json, os
import psutil
from agent.clock import ThreadOffload
from agent.providers.base import Expectations
from agent.providers.registry import ProviderSettings, build_stt, build_tts, preload
from agent.warm.memory import give_back
from telephony.media.frames import AudioFrame

threads = psutil.Process().num_threads()
preload(["moonshine", "hibari"], calls=4)
assert psutil.Process().num_threads() <= threads + 2  # the imports of numpy and onnxruntime start one each, which idle


async def talk():
    start = psutil.Process().memory_full_info().uss
    tts = build_tts("hibari", ProviderSettings(), ThreadOffload())
    pcm = bytes(4800)
    async for piece in tts.synthesize("Could you tell me what time you open?", voice="", language="en"):
        pcm += piece.pcm
    pcm += bytes(4800)
    stt = build_stt("moonshine", ProviderSettings(), ThreadOffload())
    stream = stt.stream(language="en", expectations=Expectations())
    for at in range(0, len(pcm) - 320, 320):
        stream.push(AudioFrame(pcm[at : at + 320], at / 16000))
    stream.flush()
    async for heard in stream:
        if heard.final:
            break
    await stream.aclose()
    return {"heard": heard.text, "mib": (psutil.Process().memory_full_info().uss - start) / 2**20}

gc.collect(); gc.freeze(); give_back()
reader, writer = os.pipe()
for _ in range(2):
    if os.fork() == 0:
        os.write(writer, json.dumps(asyncio.run(talk())).encode() + b"\\n")
        os._exit(0)
    os.wait()
os.close(writer)
print(os.read(reader, 65536).decode())
"""


def test_moonshine_and_hibari_are_shared_by_forked_children() -> None:
    run = subprocess.run([sys.executable, "-c", OFFLINE_SET], capture_output=True, text=True, timeout=50, check=False)
    assert run.returncode == 0, run.stderr
    children = [json.loads(line) for line in run.stdout.split("\n") if line]
    assert [child["heard"] for child in children] == ["Could you tell me what time you open?"] * 2
    assert max(child["mib"] for child in children) < 45, children  # of 300 that the parent has
