from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.dialplan import Dialplan, NoRoute, Route

OPEN = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)  # Friday 10:00 in New York
CLOSED = datetime(2026, 11, 21, 2, 0, tzinfo=UTC)  # Friday 21:00 in New York
PERSONAS = ["Known", "Open", "Closed", "Ten", "Rest", "Inside"]
PLAN = """\
timezone: America/New_York
region: US
recording: false
numbers:
  "+15550100":
    - {from: withheld, refuse: {status: 433, reason: "No hidden numbers"}}
    - {when: "mon-fri 08:00-18:00", from: ["+1555011?"], persona: p.Known, recording: true}
    - {when: "mon-fri 08:00-18:00", persona: p.Open, speech: {llm: [instant]}, session: {away_ms: 9000}}
    - otherwise: p.Closed
  "+1555020?": p.Ten
  "+1555*": p.Rest
  "100": p.Inside
"""


@pytest.fixture
def plan(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("p.py").write_text("".join(f"class {name}: pass\n" for name in PERSONAS))
    Path("d.yaml").write_text(PLAN)
    return Dialplan.load(["d.yaml"])


def persona(decision):
    assert isinstance(decision, Route)
    return decision.persona.name


@pytest.mark.parametrize("called", ["+15550100", "15550100", "5550100", "0015550100", "01115550100", "+15550100;npdi"])
def test_every_way_to_send_the_number_reaches_it(plan, called):
    assert persona(plan.decide(called, "+12125550100", OPEN)) == "Open"


def test_the_first_rule_that_matches_decides(plan):
    assert persona(plan.decide("+15550100", "+15550111", OPEN)) == "Known"
    assert persona(plan.decide("+15550100", "+15550121", OPEN)) == "Open"
    assert persona(plan.decide("+15550100", "+15550111", CLOSED)) == "Closed"


def test_the_most_specific_pattern_decides(plan):
    assert persona(plan.decide("+15550205", None, OPEN)) == "Ten"
    assert persona(plan.decide("+15550300", None, OPEN)) == "Rest"
    assert persona(plan.decide("100", None, OPEN)) == "Inside"


def test_a_route_carries_what_it_changes(plan):
    route = plan.decide("+15550100", "+12125550100", OPEN)
    assert (route.speech, route.session, route.recording) == ({"llm": ("instant",)}, {"away_ms": 9000}, False)
    assert plan.decide("+15550100", "+15550111", OPEN).recording is True
    assert route.rule == "d.yaml:8 when mon-fri 08:00-18:00"
    assert route.persona.where == "d.yaml:8"


@pytest.mark.parametrize("caller", [None, "anonymous", "Anonymous"])
def test_a_refusal_names_its_rule(plan, caller):
    refused = plan.decide("+15550100", caller, OPEN)
    assert isinstance(refused, NoRoute)
    assert (refused.sip_status, refused.reason) == (433, "No hidden numbers (d.yaml:6)")
    assert refused.rule == "d.yaml:6 from withheld"


def test_an_unknown_number_reaches_nobody_and_says_why(plan):
    refused = plan.decide("+442079460000", "+15550111", OPEN)
    assert isinstance(refused, NoRoute)
    assert (refused.sip_status, refused.rule) == (404, "")
    assert refused.reason == "no number in d.yaml matches +442079460000"
    assert [step.what for step in refused.steps] == [
        "number +15550100",
        "number +1555020?",
        "number +1555*",
        "number 100",
    ]


def test_a_reason_can_stand_in_a_sip_header(plan):
    refused = plan.decide("x\r\nVia: evil\x1b[0m é" + "y" * 500, "\r\n", OPEN)
    assert isinstance(refused, NoRoute)
    assert refused.reason.isprintable()
    assert refused.reason.isascii()
    assert len(refused.reason) <= 200


def test_the_explanation_has_every_step(plan):
    route = plan.decide("+15550100", "+12125550100", CLOSED)
    assert [str(step) for step in route.steps] == [
        "d.yaml:5: number +15550100: yes, +15550100 matches",
        "d.yaml:11: number +1555*: no, +15550100 matches, but +15550100 is more specific",
        "d.yaml:6: from withheld: no, the caller is +12125550100",
        "d.yaml:7: when mon-fri 08:00-18:00 from +1555011?: no, the caller is +12125550100",
        "d.yaml:8: when mon-fri 08:00-18:00: no, it is Fri 2026-11-20 21:00 in America/New_York",
        "d.yaml:9: otherwise: yes, it takes every call",
    ]


def test_the_region_of_the_trunk_goes_before_that_of_the_file(plan):
    assert isinstance(plan.decide("5550100", "+15550111", OPEN, region="GB"), NoRoute)
    assert persona(plan.decide("0015550100", "+15550111", OPEN, region="GB")) == "Known"


def test_a_time_without_a_zone_is_our_mistake(plan):
    with pytest.raises(ValueError, match="time zone"):
        plan.decide("100", None, datetime(2026, 11, 20))


def test_what_a_plan_says_of_itself(plan):
    assert plan.region == "US"
    assert str(plan.timezone) == "America/New_York"
    assert [str(persona) for persona in plan.personas] == [
        "p.Known",
        "p.Open",
        "p.Closed",
        "p.Ten",
        "p.Rest",
        "p.Inside",
    ]


def test_files_keep_their_own_time_zones(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("p.py").write_text("class A: pass\nclass B: pass\n")
    rules = '[{when: "12:00-13:00", persona: p.A}, {otherwise: p.B}]'
    Path("a.yaml").write_text(f'timezone: Europe/London\nnumbers: {{"1": {rules}}}\n')
    Path("b.yaml").write_text(f'timezone: Asia/Tokyo\nnumbers: {{"2": {rules}}}\n')
    plan = Dialplan.load(["a.yaml", "b.yaml"])
    noon = datetime(2026, 1, 15, 12, 30, tzinfo=UTC)
    assert [persona(plan.decide(number, None, noon)) for number in "12"] == ["A", "B"]
    assert plan.timezone is None
