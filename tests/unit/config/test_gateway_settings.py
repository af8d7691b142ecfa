import os
import pickle
import socket
from dataclasses import fields
from pathlib import Path

import pytest

from agent.providers import registry
from gateway.config import (
    PROVIDERS,
    ConfigError,
    PortRange,
    SecretMissing,
    Settings,
    SocketAddress,
    SpeechSettings,
    load_settings,
)

SMALLEST = """\
sip:
  listen: ["udp://127.0.0.1:5060"]
  trunks: [{name: local, allow: ["127.0.0.0/8"]}]
dialplans: [demo.yaml]
workers: 2
"""


def complaints(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_settings("s.yaml", text)
    return [str(problem) for problem in caught.value.problems]


def test_the_smallest_settings_get_the_documented_defaults():
    settings = load_settings("s.yaml", SMALLEST)
    assert settings.sip.listen == (SocketAddress("udp", "127.0.0.1", 5060),)
    assert settings.rtp.ports == PortRange(20000, 29999)
    assert settings.session.end_silence_ms == 550
    assert settings.store_path == Path("var/trunkline.db")
    assert settings.public_address == "127.0.0.1"
    assert settings.speech.llm == ("rules",)
    assert settings.record_calls


def test_settings_survive_pickling_for_worker_processes():
    settings = load_settings("s.yaml", SMALLEST)
    assert pickle.loads(pickle.dumps(settings)) == settings


def test_every_problem_is_named_at_once_with_its_line():
    text = """\
sip:
  listen: ["udp://127.0.0.1:5060", "sctp://127.0.0.1:5061", 5060]
  public_adress: 127.0.0.1
  trunks: [{name: +15550100, allow: ["127.0.0.1/8"], region: USA}]
rtp: {ports: 20001-29999}
rooms: cloud
workers: 0
drain_s: soon
store: "sqlite://"
speech: {stt: [deepgram/nova]}
"""
    assert complaints(text) == [
        "s.yaml:1: dialplans: required",
        's.yaml:2: sip.listen[1]: "sctp://127.0.0.1:5061" must begin with udp://, tcp:// or tls://, '
        'as in "udp://127.0.0.1:5060"',
        's.yaml:2: sip.listen[2]: 5060 is a number here, not text: write "5060" in quotes',
        's.yaml:3: sip.public_adress: unknown setting; did you mean "public_address"?',
        's.yaml:4: sip.trunks[0].name: +15550100 is a number here, not text: write "+15550100" in quotes',
        's.yaml:4: sip.trunks[0].allow[0]: "127.0.0.1/8" is not a network: 127.0.0.1/8 has host bits set; '
        'write it as in "203.0.113.0/24"',
        's.yaml:4: sip.trunks[0].region: "USA" is not a region; use the two capital letters of '
        'ISO 3166, as in "US" or "GB"',
        's.yaml:5: rtp.ports: "20001-29999" must start with an even port: '
        "RTP uses even ports, RTCP the odd ones after them",
        "s.yaml:6: rooms: must be 'local' or 'livekit'",
        "s.yaml:7: workers: must be auto or a whole number from 1 to 256",
        "s.yaml:8: drain_s: must be a number",
        's.yaml:9: store: "sqlite://" must be sqlite:/// followed by a file path, as in "sqlite:///var/trunkline.db"',
        's.yaml:10: speech.stt[0]: unknown stt provider "deepgram"; known are: '
        "moonshine, whisper, pocketsphinx, instant",
    ]


@pytest.mark.parametrize(
    ("change", "place", "words"),
    [
        ("rtp: {ports: 20000-20009}", "rtp.ports", "2 workers with 4 slots need 16 ports"),
        ("rtp: {ports: 5000-5999}", "rtp.ports", "contains the port of sip.listen's udp://127.0.0.1:5060"),
        ("speech: {llm: [openai/gpt-4o-mini, rules]}", "providers.openai", "speech uses openai"),
        ("providers: {openai: {}}", "providers.openai.api_key", "or base_url for a server that needs no key"),
        ("speech: {stt: [pocketsphinx/fast]}", "speech.stt[0]", "takes one of grammar, dictation after"),
        ("speech: {llm: [openai/]}", "speech.llm[0]", "takes a name after"),
        ("speech: {vad: silero/8k}", "speech.vad", "takes nothing after"),
        ("http: {listen: '0.0.0.0:8080'}", "http.api_keys", "reachable from other machines"),
        ("calls: {media_alarm_s: 70}", "calls.media_alarm_s", "would come after the end"),
        ("session: {end_silence_ms: 3000, away_ms: 2000}", "session.end_silence_ms", "less than away_ms"),
        ("session: {min_interruption_ms: 2000}", "session.backchannel_max_ms", "at least min_interruption_ms"),
        ("session: {min_delay_ms: 4000}", "session.max_delay_ms", "at least min_delay_ms"),
        ("session: {turn_detection: stt}", "session.turn_detection", "moonshine"),
        ("session: {turn_detection: realtime}", "session.turn_detection", "not available yet"),
        ("speech: {vad: null}", "session.turn_detection", "speech.vad is null"),
        ("webhooks: [{url: 'http://a/'}]\nsummary: {url: 'http://a/'}", "summary.url", "also the URL of webhooks[0]"),
    ],
)
def test_contradictions_are_refused(change, place, words):
    (complaint,) = complaints(SMALLEST + change)
    assert complaint.split(": ")[1] == place
    assert words in complaint


OUT = "outbound: {host: 192.0.2.7, destinations: ['+1']}"


@pytest.mark.parametrize(
    ("trunk", "routes", "place", "words"),
    [
        (OUT, "{numbers: ['+1'], trunks: [other]}", "outbound.routes[0].trunks[0]", 'there is no trunk "other"'),
        ("region: US", "{numbers: ['+1'], trunks: [a]}", "outbound.routes[0].trunks[0]", "no outbound settings"),
        (OUT, "{numbers: ['+1', '+1'], trunks: [a]}", "outbound.routes[0].numbers[1]", "is also in"),
        (OUT, "{numbers: ['+1'], trunks: [a], weights: [1, 2]}", "outbound.routes[0].weights", "2 weights for 1"),
        (OUT, "{numbers: ['+1'], trunks: [a], weights: [0]}", "outbound.routes[0].weights", "share nothing"),
        (OUT + ", numbers: {format: national}", "", "sip.trunks[0].region", "required"),
        (OUT + ", cap: {queue_s: 3}", "", "sip.trunks[0].cap", "limits nothing"),
        (OUT + ", cap: {calls_per_second: 3, inbound: true}", "", "sip.trunks[0].cap.inbound", "requires cap.calls"),
        ("identity: {privacy: true}", "", "sip.trunks[0].identity", "requires outbound"),
        ("outbound: {host: 192.0.2.7}", "", "sip.trunks[0].outbound.destinations", "no number may be called"),
        ("outbound: {host: a, destinations: ['+4']}", "", "sip.trunks[0].outbound.destinations[0]", "no country"),
        ("outbound: {host: a, destinations: [XX]}", "", "sip.trunks[0].outbound.destinations[0]", "nor a country"),
    ],
)
def test_what_cannot_be_of_calls_that_we_place(trunk, routes, place, words):
    text = SMALLEST.replace("{name: local, ", f"{{name: a, {trunk}, ")
    (complaint,) = complaints(text + (f"outbound: {{routes: [{routes}]}}\n" if routes else ""))
    assert complaint.split(": ")[1] == place
    assert words in complaint


def test_a_recogniser_that_detects_turns_needs_no_vad():
    text = SMALLEST + "speech: {vad: null, stt: [instant/turns]}\nsession: {turn_detection: stt, max_delay_ms: 2000}"
    settings = load_settings("s.yaml", text)
    assert settings.speech.vad is None
    options = settings.session.options()
    assert (options.turn_detection, options.max_delay_ms) == ("stt", 2000)


@pytest.mark.parametrize(
    ("listen", "words"),
    [
        ('"udp://127.0.0.1:5060", "udp://127.0.0.1:5060"', "is listed twice"),
        ('"udp://127.0.0.1:5060", "udp://0.0.0.0:5060"', "cannot both be used"),
        ('"udp://0.0.0.0:5060"', "phones cannot send to 0.0.0.0"),
        ('"tcp://127.0.0.1:8080"', "127.0.0.1:8080 is already used by sip.listen's tcp://127.0.0.1:8080"),
    ],
)
def test_addresses_that_cannot_be(listen, words):
    text = SMALLEST.replace('"udp://127.0.0.1:5060"', listen)
    assert any(words in complaint for complaint in complaints(text))


def test_free_ports_never_collide():
    text = SMALLEST.replace('"udp://127.0.0.1:5060"', '"tcp://127.0.0.1:0", "udp://127.0.0.1:0"')
    assert load_settings("s.yaml", text + 'http: {listen: "127.0.0.1:0"}').http.listen.port == 0


def test_a_trunk_name_or_network_has_one_place():
    text = SMALLEST.replace('"127.0.0.0/8"]}', '"127.0.0.0/8"]}, {name: local, allow: ["127.0.0.0/8"]}')
    assert [line.split(": ", 1)[1] for line in complaints(text)] == [
        'sip.trunks[1].name: duplicate trunk name "local"',
        'sip.trunks[1].allow[0]: 127.0.0.0/8 is also in trunk "local": say which calls are whose (inbound, callers)',
    ]


def test_a_literal_secret_is_refused_and_not_repeated():
    (complaint,) = complaints(SMALLEST + "http: {api_keys: [hunter2]}")
    assert "say where it is" in complaint
    assert "hunter2" not in complaint


def test_secrets_come_from_environment_or_file(tmp_path, monkeypatch):
    key = tmp_path / "key"
    key.write_text("from-file\n")
    text = SMALLEST + f"http: {{api_keys: [{{env: TRUNKLINE_TEST_KEY}}, {{file: '{key}'}}]}}"
    settings = load_settings("s.yaml", text)
    monkeypatch.delenv("TRUNKLINE_TEST_KEY", raising=False)
    assert settings.missing_secrets() == ["environment variable TRUNKLINE_TEST_KEY is not set or empty"]
    with pytest.raises(SecretMissing):
        settings.http.api_keys[0].read()
    monkeypatch.setitem(os.environ, "TRUNKLINE_TEST_KEY", "from-env")
    assert [key.read() for key in settings.http.api_keys] == ["from-env", "from-file"]
    assert settings.missing_secrets() == []


def test_a_secret_has_exactly_one_source():
    (complaint,) = complaints(SMALLEST + "http: {api_keys: [{env: A, file: b}]}")
    assert complaint.endswith("must be exactly one of {env: NAME} and {file: path}")


def test_automatic_workers_follow_cores_and_ports():
    settings = load_settings("s.yaml", SMALLEST.replace("workers: 2", "workers: auto"))
    assert settings.worker_count(cores=2) == 6
    few = settings.model_copy(update={"rtp": settings.rtp.model_copy(update={"ports": PortRange(20000, 20031)})})
    assert few.worker_count(cores=2) == 4


@pytest.mark.parametrize(
    ("stt", "tts", "workers"),
    [
        (("moonshine", "pocketsphinx/dictation"), ("hibari", "espeak"), 12),  # of a list the first serves
        (("instant",), ("instant",), 12),
        (("pocketsphinx",), ("espeak/en-gb",), 12),
        (("pocketsphinx/dictation",), ("espeak",), 7),
        (("whisper/auto",), ("hibari",), 4),
        (("whisper",), ("instant",), 4),
    ],
)
def test_automatic_workers_follow_what_the_speech_providers_need(
    stt: tuple[str, ...], tts: tuple[str, ...], workers: int
):
    settings = load_settings("s.yaml", SMALLEST.replace("workers: 2", "workers: auto"))
    speech = settings.model_copy(update={"speech": SpeechSettings(stt=stt, tts=tts)})
    assert speech.worker_count(cores=4) == workers


def test_fewer_automatic_workers_beside_agents_of_livekit_rooms():
    keys = "api_key: {env: A}, api_secret: {env: B}"
    text = SMALLEST.replace("workers: 2", "workers: auto") + f"livekit: {{url: 'ws://127.0.0.1:7880', {keys}"
    apart, here = (load_settings("s.yaml", text + more) for more in ("}\n", ", worker: {in_gateway: true}}\n"))
    assert (apart.worker_count(cores=2), here.worker_count(cores=2), here.worker_count(cores=1)) == (6, 3, 2)


def test_session_settings_become_session_options():
    options = load_settings("s.yaml", SMALLEST + "session: {max_call_s: 60, end_silence_ms: 400}").session.options()
    assert (options.max_call_ms, options.end_silence_ms) == (60_000, 400)


def test_overrides_of_a_route():
    settings = load_settings("s.yaml", SMALLEST)
    assert settings.session.overridden({"end_silence_ms": 300}).end_silence_ms == 300
    assert settings.speech.overridden({"stt": ["instant"]}).stt == ("instant",)
    assert settings.speech.overridden({"stt": ["instant"]}).tts == ("hibari", "espeak")


@pytest.mark.parametrize("file", ["demo.yaml", "bench/gateway.yaml"])
def test_the_settings_in_the_tree_are_good(file):
    assert isinstance(load_settings(Path(__file__).parents[3] / file), Settings)


def test_providers_are_those_that_can_be_built():
    built = {"vad": registry.VAD_NAMES, "stt": registry.STT_NAMES, "llm": registry.LLM_NAMES, "tts": registry.TTS_NAMES}
    for part, names in built.items():
        assert set(PROVIDERS[part]) == {name.partition("/")[0] for name in names}, part
        for vendor, details in PROVIDERS[part].items():
            behind = {name.partition("/")[2] for name in names if name.startswith(f"{vendor}/")}
            assert bool(details) == bool(behind), vendor
            assert details == ("*",) or set(details) == behind


def test_what_a_vendor_needs():
    settings = load_settings(
        "s.yaml", SMALLEST + "providers: {openai: {api_key: {file: var/key}, model: small, max_tokens: 80}}"
    )
    name, vendor = settings.provider("openai")
    assert (name, vendor.key_file, vendor.key_env, vendor.max_tokens) == ("openai/small", Path("var/key"), "", 80)
    assert settings.provider("openai/large")[0] == "openai/large"
    assert settings.provider("rules")[0] == "rules"


def test_every_option_of_a_session_can_be_set_and_has_the_same_default():
    from agent.options import SessionOptions
    from gateway.config import SessionSettings

    assert SessionSettings().options() == SessionOptions()
    settable = {name.removesuffix("_s").removesuffix("_ms") for name in SessionSettings.model_fields}
    assert {field.name.removesuffix("_ms") for field in fields(SessionOptions)} == settable


def test_the_silence_ladder_can_be_switched_off():
    settings = load_settings("s.yaml", SMALLEST + "session: {away_ms: null, retries: 0, inaudible: tell_model}\n")
    options = settings.session.options()
    assert (options.away_ms, options.retries, options.inaudible) == (None, 0, "tell_model")


POSTGRESQL = """
sip: {listen: ["udp://127.0.0.1:5060"], trunks: [{name: local, allow: ["127.0.0.0/8"]}]}
dialplans: [demo.yaml]
store:
  url: %s
  %s
"""


def store_settings(tmp_path: Path, url: str, more: str = "gateway_id: one") -> Settings:
    (tmp_path / "s.yaml").write_text(POSTGRESQL % (url, more))
    return load_settings(tmp_path / "s.yaml")


def test_a_postgresql_store(tmp_path: Path) -> None:
    store = store_settings(tmp_path, "postgres://me@db.example:5433/calls?sslmode=require").store
    assert (str(store), store.sqlite) == ("postgresql://me@db.example:5433/calls?sslmode=require", False)
    assert (store.owner, store.path, store.read_password()) == ("one", Path("var/trunkline"), "")
    named = store_settings(tmp_path, "postgresql:///calls", 'password: {file: "nowhere"}')
    assert named.store.owner == socket.gethostname()
    assert named.missing_secrets() == ["file nowhere: No such file or directory"]


@pytest.mark.parametrize(
    ("url", "more", "said"),
    [
        ("postgresql://me:hunter2@db/calls", "gateway_id: one", "password never"),
        ("postgresql://me@db/calls?password=hunter2", "gateway_id: one", "password never"),
        ("postgresql://me@db", "gateway_id: one", "a user, a host and a database"),
        ("postgresql+asyncpg://me@db/calls", "gateway_id: one", "a user, a host and a database"),
        ("postgresql://me@db:hunter2/calls", "gateway_id: one", "a user, a host and a database"),
        ("postgresql://me@db/calls", "password: hunter2", "password"),
        ("postgresql://me@db/calls", "gateway_id: 'a b'", "gateway_id"),
        ("sqlite:///var/x.db", "password: {env: X}", "SQLite"),
    ],
)
def test_what_is_wrong_with_a_store_is_said_without_its_password(
    tmp_path: Path, url: str, more: str, said: str
) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        store_settings(tmp_path, url, more)
    assert "hunter2" not in str(caught.value)
