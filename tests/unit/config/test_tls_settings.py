"""Settings of TLS and SRTP: what contradicts itself, what the edge is told, and what is wrong with files."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.cli import main
from gateway.config import ConfigError, Settings, load_settings
from gateway.edge_settings import edge_settings
from gateway.edge_tls import tls_problems, tls_warnings
from telephony.sip.resolving import Target
from tests.certificates import Authority


def text(trunk: str, *, listen: str = '"tls://127.0.0.1:5061"', tls: str = "{certificate: c, key: {file: k}}") -> str:
    trunk = trunk.replace("outbound: {", 'outbound: {destinations: ["+1"], ')
    return (
        f'sip:\n  listen: ["udp://127.0.0.1:5060", {listen}]\n' + (f"  tls: {tls}\n" if tls else "")
        + f"  trunks:\n    - {{name: carrier, {trunk}}}\ndialplans: [demo.yaml]\nworkers: 2\n"
    )  # fmt: skip


def complaints(settings: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_settings("s.yaml", settings)
    return [f"{problem.where}: {problem.message}" for problem in caught.value.problems]


HERE = 'allow: ["10.0.0.0/8"]'
PLAIN_KEYS = "the keys of the audio would go over plain SIP, where anybody on the way can read them: "
ACCEPT = ", or accept that by srtp_over_plain_sip: true"


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        (text(HERE, tls=""), "sip.listen[1]: tls://127.0.0.1:5061 needs sip.tls: a certificate and its key"),
        (text("allow: []"), "sip.trunks[0].allow: must have at least 1 entry, unless tls.client_names says whom to"),
        (text(f"{HERE}, tls: {{certificate: c}}"), "sip.trunks[0].tls.key: certificate and key must be given together"),
        (
            text(f"{HERE}, tls: {{client_names: [pbx.example]}}"),
            "sip.trunks[0].tls.client_names: requires a tls:// listen address and sip.tls.client_ca",
        ),
        (
            text(f"{HERE}, outbound: {{host: a.example, transport: udp}}, tls: {{sips: true}}"),
            "sip.trunks[0].outbound.transport: contradicts tls.sips",
        ),
        (
            text(f"{HERE}, outbound: {{host: a.example, transport: tls}}", listen='"tcp://127.0.0.1:5061"'),
            "sip.trunks[0].outbound.transport: no listen address for tls",
        ),
        (
            text(f"{HERE}, outbound: {{host: a.example, transport: tls, fail_over: [{{host: b.example}}]}}"),
            "sip.trunks[0].outbound.fail_over[0].transport: must be said",
        ),
        (text(f"{HERE}, srtp: required", listen='"tcp://127.0.0.1:5061"'), f"sip.trunks[0].srtp: {PLAIN_KEYS}listen"),
        (
            text(f"{HERE}, srtp: required, outbound: {{host: a.example}}"),
            f"sip.trunks[0].srtp: {PLAIN_KEYS}set transport: tls{ACCEPT}",
        ),
        (
            text(f"{HERE}, srtp: required, outbound: {{host: a.example, transport: udp}}"),
            f"sip.trunks[0].outbound.transport: {PLAIN_KEYS}set transport: tls{ACCEPT}",
        ),
    ],
)
def test_contradictions(settings: str, complaint: str) -> None:
    (found,) = complaints(settings)
    assert found.startswith(complaint)


@pytest.mark.parametrize(
    "settings",
    [
        text(f"{HERE}, srtp: required"),
        text(f"{HERE}, srtp: required, outbound: {{host: a.example, transport: tls}}"),
        text(f"{HERE}, srtp: required, outbound: {{host: a.example}}, tls: {{sips: true}}"),
        text(f"{HERE}, srtp: required, srtp_over_plain_sip: true, outbound: {{host: a.example}}"),
        text("allow: [], tls: {client_names: [pbx.example]}", tls="{certificate: c, key: {env: K}, client_ca: a}"),
    ],
)
def test_what_goes_together(settings: str) -> None:
    assert isinstance(load_settings("s.yaml", settings), Settings)


def test_what_the_edge_is_told() -> None:
    trunk = f"""{HERE}, outbound: {{host: sip.carrier.example, transport: tls}},
       registration: {{user: bob, domain: carrier.example}},
       tls: {{ca: ca.pem, server_name: edge.carrier.example, certificate: c.pem, key: {{file: k.pem}}}}"""
    edge = edge_settings(load_settings("s.yaml", text(trunk)))
    (told,) = edge.trunks
    assert edge.tls is not None and edge.tls.identity.key_file == Path("k")
    assert told.hosts == (Target("sip.carrier.example", None, "tls"),)
    assert told.register is not None and told.register.target == Target("carrier.example", None, "tls")
    assert (told.tls.ca, told.tls.name) == (Path("ca.pem"), "edge.carrier.example")
    assert told.tls.identity is not None and told.tls.identity.certificate == Path("c.pem")


def test_sips_is_on_the_whole_way() -> None:
    trunk = (
        f"{HERE}, outbound: {{host: a.example}}, registration: {{user: bob, domain: a.example}}, tls: {{sips: true}}"
    )
    (told,) = edge_settings(load_settings("s.yaml", text(trunk))).trunks
    assert told.hosts == (Target("a.example", secure=True),)
    assert told.register is not None and told.register.target == Target("a.example", secure=True)
    assert (told.register.address, told.register.uri) == ("sips:bob@a.example", "sips:a.example")
    assert told.register.user == "bob"


# Files


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def with_files(authority: Authority, *, days: float = 90, trunk: str = HERE) -> Settings:
    ours = authority.issue("sip.ours.example", expires_in_days=days)
    tls = f"{{certificate: {ours.certificate}, key: {{file: {ours.key}}}}}"
    return load_settings("s.yaml", text(trunk, tls=tls))


def test_files_that_are_there_are_good(authority: Authority) -> None:
    settings = with_files(authority, trunk=f"{HERE}, tls: {{ca: {authority.ca}}}")
    assert list(tls_problems(settings)) == [] and list(tls_warnings(settings)) == []


def test_files_that_are_not(authority: Authority, tmp_path: Path) -> None:
    settings = with_files(authority, trunk=f"{HERE}, tls: {{ca: {tmp_path}/gone.pem}}")
    name = "sip.ours.example"
    (tmp_path / f"{name}.key").unlink()
    assert list(tls_problems(settings)) == [
        ("sip.tls", f"the key of {tmp_path}/{name}.crt: file {tmp_path}/{name}.key: No such file or directory"),
        ("sip.trunks[0].tls", f"{tmp_path}/gone.pem: No such file or directory"),
    ]


def test_a_key_from_the_environment(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = authority.issue("sip.ours.example")
    settings = load_settings("s.yaml", text(HERE, tls=f"{{certificate: {ours.certificate}, key: {{env: OUR_KEY}}}}"))
    assert "environment variable OUR_KEY" in dict(tls_problems(settings))["sip.tls"]
    monkeypatch.setenv("OUR_KEY", ours.key.read_text())
    assert list(tls_problems(settings)) == []


@pytest.mark.parametrize(("days", "said"), [(-2, "has expired on"), (10.5, "in 10 days"), (0.5, "in 0 days")])
def test_a_certificate_that_expires_is_a_warning(authority: Authority, days: float, said: str) -> None:
    (warning,) = tls_warnings(with_files(authority, days=days))
    assert said in warning and "sip.ours.example.crt" in warning
    assert list(tls_problems(with_files(authority, days=days))) == []


def test_the_time_left_is_counted_from_now(authority: Authority) -> None:
    settings = with_files(authority, days=90)
    assert list(tls_warnings(settings, datetime.now(UTC) + timedelta(days=80)))


def test_check_and_serve_name_the_file(
    authority: Authority, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ours = authority.issue("sip.ours.example", expires_in_days=5)
    (tmp_path / "demo.yaml").write_text("")
    settings = text(HERE, tls=f"{{certificate: {ours.certificate}, key: {{file: {ours.key}}}}}")
    settings = settings.replace("demo.yaml", str(Path("dialplans/demo.yaml").resolve()))
    config = tmp_path / "s.yaml"
    config.write_text(settings)
    assert main(["check", "--config", str(config)]) == 0
    assert "expires on" in capsys.readouterr().err
    ours.key.write_text("nothing")
    assert main(["check", "--config", str(config)]) == 2
    assert f"{config}: sip.tls: the key of {ours.certificate}" in capsys.readouterr().err
    assert main(["serve", "--config", str(config)]) == 2
    assert "no PEM private key in it" in capsys.readouterr().err
