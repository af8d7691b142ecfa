from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.config import ConfigError, load_settings
from gateway.dialplan import Dialplan, PersonaRef
from gateway.dialplan.format import read_plan

PERSONAS = "class A: pass\nclass B(A): pass\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("p.py").write_text(PERSONAS)
    return tmp_path


def problems(text: str) -> list[str]:
    return [str(problem) for problem in read_plan(Path("d.yaml"), text)[2]]


def one(rules: str) -> list[str]:
    return problems(f'timezone: America/New_York\nholidays: US\nregion: US\nnumbers:\n  "+15550100":\n{rules}')


def test_a_good_plan(folder):
    entries, _, wrong = read_plan(
        Path("d.yaml"),
        'timezone: America/New_York\nregion: US\nsession: {away_ms: 9000}\nnumbers:\n  "(212) 555-0100":\n'
        '    - {when: "mon-fri 08:00-18:00", from: ["+1555*", withheld], persona: p.A, recording: false}\n'
        "    - otherwise: {persona: p.B, session: {end_silence_ms: 400}}\n"
        '  "+1555020?": {refuse: {status: 603, reason: "not in service"}}\n',
    )
    assert wrong == []
    first, second = entries
    assert first.pattern.text == "+12125550100"
    assert [str(rule.to) for rule in first.rules] == ["p.A", "p.B"]
    assert first.rules[0].to == PersonaRef(Path("p.py"), "A")
    assert first.rules[0].withheld
    assert first.rules[0].options.recording is False
    assert first.rules[1].options.session == {"away_ms": 9000, "end_silence_ms": 400}
    assert first.rules[0].where == "d.yaml:6"
    assert second.rules[0].to.status == 603


def test_all_problems_at_once_in_the_order_of_the_file(folder):
    text = """\
timezone: America/New_Yrok
region: USA
holidays: [US-ZZ, 2026-13-01]
colour: blue
speech: {stt: [deepgram]}
numbers:
  +15550100: p.A
  "+15550101": p.C
  "+15550102": q.A
  "1555010?": p.A
  "201":
  "202": 12
  "203": {persona: p.A, session: {end_silence_ms: 1, foo: 2}, recording: yes}
  "204": {persona: p.A, when: "sat"}
  "205": p
"""
    assert [line.removeprefix("d.yaml:") for line in problems(text)] == [
        '1: timezone: no time zone is called "America/New_Yrok"; write it as "America/New_York"',
        '2: region: "USA" is not a region; use two capital letters, as in "US"',
        '3: holidays[0]: "US" has no holidays of its own for "ZZ"; there are: '
        "US-AK, US-AL, US-AR, US-AS, US-AZ, US-CA, …",
        '3: holidays[1]: "2026-13-01" does not exist in the calendar',
        "4: colour: is not known here",
        '5: speech.stt[0]: unknown stt provider "deepgram"; known are: moonshine, whisper, pocketsphinx, instant',
        '7: numbers["+15550100"]: +15550100 is a number here, not text: write "+15550100" in quotes',
        '8: numbers["+15550101"]: persona "p.C" is unknown: p.py has no class or factory C',
        '9: numbers["+15550102"]: persona "q.A" cannot be used: q.py: no such file',
        '10: numbers["1555010?"]: "1555010?" would never match: numbers are compared as +, country code and digits',
        '11: numbers["201"]: is empty',
        '12: numbers["202"]: 12 is a number here, not text: write "12" in quotes',
        '13: numbers["203"].recording: must be true or false',
        '13: numbers["203"].session.end_silence_ms: must be greater than or equal to 100',
        '13: numbers["203"].session.foo: unknown setting',
        '14: numbers["204"].when: is not known here',
        '15: numbers["205"]: "p" is not a persona: write file and class, as in "clinic.Reception", '
        'or file and factory, as in "clinic.reception"',
    ]


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ('    - {when: "sat", persona: p.A}', "has no last rule for all other calls"),
        ("    - otherwise: p.A\n    - {from: withheld, persona: p.B}", '"from withheld" is never reached: line 6'),
        ("    - persona: p.A\n    - otherwise: p.B", '"otherwise" is never reached: line 6 takes all its calls'),
        (
            '    - {when: "mon-fri 08:00-18:00", persona: p.A}\n    - {when: "mon 09:00-10:00", persona: p.B}\n'
            "    - otherwise: p.A",
            '"when mon 09:00-10:00" is never reached: line 6 takes all its calls',
        ),
        (
            '    - {when: "mon-fri", persona: p.A}\n    - {when: "sat, sun", persona: p.B}\n'
            '    - {when: "holidays", persona: p.A}\n    - otherwise: p.A',
            '"when holidays" is never reached: lines 6 and 7 take all its calls',
        ),
        (
            '    - {from: "+1555*", persona: p.A}\n    - {from: ["+1555010?", "+15550111"], persona: p.B}\n'
            "    - otherwise: p.A",
            "is never reached: line 6 takes all its calls",
        ),
        ('    - {when: "mon-fri 8-18", persona: p.A}\n    - otherwise: p.A', '"8" is not a day, date or time'),
        ("    - {otherwise: p.A, from: withheld}", "takes all other calls"),
        ("    - {persona: p.A, refuse: {status: 403}}", "has persona and refuse"),
        ("    - {recording: true}", "names nobody"),
        ("    - {refuse: {status: 200}}", "must be a SIP status from 400 to 699"),
        ('    - {refuse: {status: 403, reason: "a\\nb"}}', "one line of at most 100 ASCII"),
        ("    - {refuse: 403}", "write it as {status: 403"),
        ("    - {from: 100, persona: p.A}\n    - otherwise: p.A", '100 is a number here, not text: write "100"'),
        ("    - {from: anonymous, persona: p.A}\n    - otherwise: p.A", 'written "withheld" here, not "anonymous"'),
        ("    []", "must say who answers"),
    ],
)
def test_rules_that_cannot_be(folder, rules, words):
    assert any(words in line for line in one(rules)), one(rules)


@pytest.mark.parametrize(
    "rules",
    [
        # Overlapping hours are fine: the first rule decides, and each is reached at some time.
        '    - {when: "mon-fri 08:00-12:00", persona: p.A}\n    - {when: "mon-fri 10:00-18:00", persona: p.B}\n'
        "    - otherwise: p.A",
        '    - {when: "mon-fri not holidays", persona: p.A}\n    - {when: "mon-fri", persona: p.B}\n'
        "    - otherwise: p.A",
        '    - {when: "mon-sun", persona: p.A}\n    - otherwise: p.A',
        '    - {from: withheld, persona: p.A}\n    - {from: "+1*", persona: p.B}\n    - otherwise: {refuse: {}}',
    ],
)
def test_rules_that_are_good(folder, rules):
    assert one(rules) == []


def test_rules_that_look_at_the_time_need_a_time_zone(folder):
    (line,) = problems('numbers:\n  "1": [{when: "sat", persona: p.A}, {otherwise: p.B}]\n')
    assert 'timezone: must be given, as in "America/New_York"' in line


def test_rules_that_speak_of_holidays_need_to_know_them(folder):
    (line,) = problems('timezone: UTC\nnumbers:\n  "1": [{when: "holidays", persona: p.A}, {otherwise: p.B}]\n')
    assert "add `holidays: US`" in line


def test_one_number_written_in_two_ways_is_one_number(folder):
    (line,) = problems('region: US\nnumbers:\n  "(212) 555-0100": p.A\n  "+12125550100": p.B\n')
    assert line == 'd.yaml:4: numbers: "+12125550100" is already in d.yaml:3: a number may appear only once'


def test_patterns_of_one_rank_must_not_overlap(folder):
    (line,) = problems('numbers:\n  "+1555?100": p.A\n  "+15550?00": p.B\n')
    assert line.startswith('d.yaml:3: numbers: "+15550?00" and "+1555?100" (d.yaml:2) match common numbers')


def test_a_number_in_two_files_is_refused(folder):
    Path("a.yaml").write_text('numbers: {"100": p.A}\n')
    Path("b.yaml").write_text('numbers: {"200": p.A, "100": p.B}\n')
    with pytest.raises(ConfigError) as caught:
        Dialplan.load(["a.yaml", "b.yaml"])
    assert str(caught.value) == 'b.yaml:1: numbers: "100" is already in a.yaml:1: a number may appear only once'


def test_problems_of_all_files_are_named_once_each(folder):
    Path("a.yaml").write_text('numbers: {"1": p.X, "2": p.A, "2 ": p.A}\n')
    Path("b.yaml").write_text("numbers: [1\n")
    with pytest.raises(ConfigError) as caught:
        Dialplan.load(["a.yaml", "b.yaml", "c.yaml"])
    files = [problem.file for problem in caught.value.problems]
    assert files == ["a.yaml", "a.yaml", "b.yaml", "c.yaml"]


def test_what_a_route_changes_is_checked_against_the_settings(folder):
    Path("a.yaml").write_text(
        'numbers:\n  "100": {persona: p.A, speech: {llm: [openai]}}\n'
        '  "101": {persona: p.A, session: {away_ms: 1000, end_silence_ms: 1500}}\n'
    )
    settings = load_settings(
        "s.yaml",
        'sip: {listen: ["udp://127.0.0.1:5060"], trunks: [{name: t, allow: ["127.0.0.1"]}]}\ndialplans: [a.yaml]\n',
    )
    with pytest.raises(ConfigError) as caught:
        Dialplan.load(settings.dialplans, settings)
    assert [str(problem).split(": ", 1)[0] for problem in caught.value.problems] == ["a.yaml:2", "a.yaml:3"]
    assert "no providers.openai" in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "x", "numbers:", "numbers: {}", "numbers: []"])
def test_a_plan_without_numbers_is_refused(folder, text):
    assert problems(text)


def test_personas_that_calls_may_be_placed_with(tmp_path: Path) -> None:
    (tmp_path / "clinic.py").write_text(
        "from agent import Agent\nclass Reminder(Agent): ...\nclass Survey(Agent): ...\n"
    )
    (tmp_path / "plan.yaml").write_text(
        "session: {max_call_s: 100}\noutbound:\n  - clinic.Reminder\n  - {persona: clinic.Survey, recording: false}\n"
    )
    plan = Dialplan.load([tmp_path / "plan.yaml"])
    assert [str(persona) for persona in plan.personas] == ["clinic.Reminder", "clinic.Survey"]
    survey = plan.outbound_persona("clinic.Survey")
    assert survey is not None
    assert (survey.options.recording, survey.options.session) == (False, {"max_call_s": 100})
    assert plan.outbound_persona("clinic.Nobody") is None


@pytest.mark.parametrize(
    ("outbound", "problem"),
    [
        ("clinic.Reminder", "must be a list of personas"),
        ("[]", "must be a list of personas"),
        ("[clinic.Nobody]", "is unknown"),
        ("[{recording: true}]", "it needs `persona`"),
        ("[{persona: clinic.Reminder, when: mon}]", "is not known here"),
        ("[clinic.Reminder, clinic.Reminder]", "is named before"),
    ],
)
def test_what_is_wrong_with_outbound_is_said(tmp_path: Path, outbound: str, problem: str) -> None:
    (tmp_path / "clinic.py").write_text("from agent import Agent\nclass Reminder(Agent): ...\n")
    (tmp_path / "plan.yaml").write_text(f"outbound: {outbound}\n")
    with pytest.raises(ConfigError, match=problem):
        Dialplan.load([tmp_path / "plan.yaml"])


HOOKS = """\
before_call: {url: "https://crm.test/route", personas: [p.B], limit_ms: 500}
after_call: {url: "https://crm.test/calls"}
numbers:
  "+15550100": p.A
  "+15550101": {persona: p.A, before_call: false, after_call: {url: "https://other.test/", by: model}}
  "+15550102": {persona: p.A, after_call: false}
outbound: [p.A, {persona: p.B, after_call: false}]
"""


def test_who_is_asked_before_a_call_and_told_after_it(folder):
    Path("d.yaml").write_text(HOOKS)
    plan = Dialplan.load([Path("d.yaml")])
    at = datetime(2026, 11, 27, tzinfo=UTC)
    routes = [plan.decide(f"+1555010{n}", None, at) for n in range(3)]
    asked = [route.before_call for route in routes]
    assert [each and (each.settings.limit_ms, *map(str, each.personas)) for each in asked] == [
        (500, "p.B"), None, (500, "p.B"),
    ]  # fmt: skip
    told = [plan.after_call(route.rule, "p.A") for route in routes]
    assert [each and each.url for each in told] == ["https://crm.test/calls", "https://other.test/", False]
    placed = [plan.after_call(each.where, str(each.persona)) for each in plan.outbound]
    assert [each and each.url for each in placed] == ["https://crm.test/calls", False]
    assert {each.url for each in plan.summaries} == {"https://crm.test/calls", "https://other.test/"}
    assert {str(each) for each in plan.personas} == {"p.A", "p.B"}
    assert plan.after_call("of another dialplan", "p.A") is None


@pytest.mark.parametrize(
    ("hook", "words"),
    [
        ("before_call: {url: ftp://x.test}", "url"),
        ("before_call: {url: 'https://x.test', personas: [p.C]}", "no class or factory C"),
        ("before_call: {url: 'https://x.test', limit_ms: 9000}", "limit_ms"),
        ("before_call: {url: 'https://x.test', secret: open}", "secrets are not allowed in this file"),
        ("before_call: true", "before_call"),
        ("after_call: {by: model}", "after_call.url"),
        ("after_call: [x]", "after_call"),
    ],
)
def test_hooks_that_cannot_be(folder, hook, words):
    (wrong,) = problems(f'{hook}\nnumbers: {{"+15550100": p.A}}\noutbound: [p.A]\n')
    assert words in wrong


def test_a_secret_that_is_not_there_and_a_url_with_two_meanings(folder):
    Path("d.yaml").write_text(
        'numbers:\n  "+15550100": {persona: p.A, before_call: {url: "https://x.test", secret: {file: none}}}\n'
    )
    (missing,) = Dialplan.load([Path("d.yaml")]).missing_secrets
    assert missing.startswith("d.yaml:2: file none")
    Path("d.yaml").write_text(HOOKS.replace("https://other.test/", "https://crm.test/calls"))
    with pytest.raises(ConfigError, match="used elsewhere with other options"):
        Dialplan.load([Path("d.yaml")])
