"""The commands as they are typed: exit codes, messages, output for machines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.cli import main
from gateway.commands.demo import on_ports
from gateway.config import load_settings

ROOT = Path(__file__).parents[3]
AUDIO = ROOT / "tests" / "fixtures" / "audio"


def test_replay_of_one_call(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["replay", str(AUDIO / "hangs_up"), "--wav", str(tmp_path / "sound")]) == 0
    out = capsys.readouterr().out
    assert "hangs_up" in out and "as recorded" in out and "1 calls, all as recorded" in out
    assert (tmp_path / "sound" / "hangs_up.wav").stat().st_size > 100_000


def test_replay_for_machines(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(AUDIO / "hangs_up"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is True
    (call,) = report["calls"]
    assert call["name"] == "hangs_up" and call["ended_by"] == "caller" and call["passed"] is True
    assert call["events"][0]["type"] == "session_started"


def copy_of(name: str, folder: Path, old: str, new: str) -> Path:
    folder.mkdir()
    for file in (AUDIO / name).iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    text = (folder / "fixture.yaml").read_text()
    assert old in text
    (folder / "fixture.yaml").write_text(text.replace(old, new))
    return folder


def test_a_call_that_goes_another_way_is_1(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = copy_of("hangs_up", tmp_path / "wrong", "ended_by: caller", "ended_by: agent")
    reference = str(ROOT / "dialplans" / "clinic.py") + ":Reception"
    text = (folder / "fixture.yaml").read_text().replace("dialplans/clinic.py:Reception", reference)
    (folder / "fixture.yaml").write_text(text)
    assert main(["replay", str(folder)]) == 1
    out = capsys.readouterr().out
    assert "NOT AS RECORDED" in out and "ended_by should be agent, was caller" in out
    assert "1 not as recorded: wrong" in out


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("speech: appointment.wav", "speech: gone.wav", "fixture.yaml:8: speech: there is no gone.wav"),
        (
            "ended_by: caller",
            "ended_bi: caller",
            "fixture.yaml:11: there is no `ended_bi` here; did you mean `ended_by`?",
        ),
        ("dialplans/clinic.py:Reception", "dialplans/none.py:X", "no persona 'dialplans/none.py:X'"),
        (
            "dialplans/clinic.py:Reception",
            "dialplans/clinic.py:X",
            "dialplans/clinic.py has no persona 'X'; personas and factories in it: ",
        ),
    ],
)
def test_a_bad_fixture_is_2(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, old: str, new: str, message: str
) -> None:
    folder = copy_of("hangs_up", tmp_path / "bad", old, new)
    assert main(["replay", str(AUDIO / "silence"), str(folder)]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('"+15550123"', '"+15550100"\ntime: 2026-11-22T12:00', "demo.yaml routes the call to clinic.AfterHours: "),
        ('"+15550123"', '"+15559999"', "demo.yaml refuses the call: "),
    ],
)
def test_a_dialplan_that_would_not_have_answered_is_1(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, old: str, new: str, told: str
) -> None:
    folder = copy_of("hangs_up", tmp_path / "astray", old, new)
    assert main(["replay", str(folder)]) == 1
    assert told in capsys.readouterr().out


def test_a_clip_of_another_rate_is_2(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = copy_of("hangs_up", tmp_path / "bad", "Nothing", "Nothing")
    data = bytearray((folder / "appointment.wav").read_bytes())
    data[24:28] = (44100).to_bytes(4, "little")
    (folder / "appointment.wav").write_bytes(data)
    assert main(["replay", str(folder)]) == 2
    assert "appointment.wav: 44100 Hz; expected 8000 Hz" in capsys.readouterr().err


def test_nothing_to_replay_is_2(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["replay", str(tmp_path)]) == 2
    assert "no fixture.yaml in it or below" in capsys.readouterr().err
    assert main(["replay", str(AUDIO / "hangs_up"), "--target", "127.0.0.1:5060"]) == 2
    assert main(["replay", str(AUDIO / "hangs_up"), "--sip", "--target", "127.0.0.1:1", "--url", "ftp://x"]) == 2


def test_call_refuses_what_it_cannot_call(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, message in (
        (["call", "not a number"], "is neither a number nor a SIP URI"),
        (["call", "sip:nobody"], "invalid SIP URI"),
        (["call", "sip:x@127.0.0.1:99999"], "invalid SIP URI 'sip:x@127.0.0.1:99999': bad port"),
        (["call", "+15550123", "--target", "127.0.0.1:x"], "invalid SIP URI"),
        (["call", "+15550123", "--dtmf", "12x"], "invalid --dtmf"),
        (["call", "+15550123", "--play", "gone.wav"], "gone.wav"),
        (["call", "+15550123", "--fixture", "gone"], "gone/fixture.yaml: no such file"),
    ):
        assert main(arguments) == 2
        assert message in capsys.readouterr().err


def test_console_of_a_file_without_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["console", "dialplans/clinic.py"]) == 2
    assert "write it as dialplans/clinic.py:Class, or :factory" in capsys.readouterr().err


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("trunkline 0.")


def test_console_of_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["console", "dialplans/nobody.py:X"]) == 2
    assert "no persona 'dialplans/nobody.py:X'" in capsys.readouterr().err


def test_record_fixture_does_not_overwrite(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["record-fixture", "c1", "--out", str(tmp_path)]) == 2
    assert "already exists" in capsys.readouterr().err
    assert main(["record-fixture", "c1", "--out", str(tmp_path / "new"), "--url", "http://127.0.0.1:1"]) == 1
    assert "http://127.0.0.1:1 does not answer" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_the_demo_on_other_ports() -> None:
    settings = load_settings(ROOT / "demo.yaml")
    changed = on_ports(settings, 5999, 0)
    assert [address.port for address in changed.sip.listen] == [5999, 5999]
    assert changed.http.listen.port == 0
    assert on_ports(settings, None, None) == settings
    with pytest.raises(ValueError, match="invalid port 70000"):
        on_ports(settings, 70000, None)


def test_the_demo_without_its_call(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--fixture", "gone"]) == 2
    assert "gone/fixture.yaml: no such file" in capsys.readouterr().err
    assert main(["demo", "--config", "gone.yaml"]) == 2
    assert "gone.yaml: no such file" in capsys.readouterr().err
