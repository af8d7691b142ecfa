import random
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.dialplan import Dialplan, Entry, NoRoute, PersonaRef, Route, Rule, normalise
from gateway.dialplan.calendar import HolidayCalendar
from gateway.dialplan.model import PlanFile
from gateway.dialplan.numbers import NumberPattern
from gateway.dialplan.reach import duplicate_numbers

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


# --- many numbers, several regions ------------------------------------------------------------------------------------


def _plan_of(monkeypatch, tmp_path, **files):
    monkeypatch.chdir(tmp_path)
    Path("p.py").write_text("class A: pass\nclass B: pass\nclass C: pass\n")
    for name, text in files.items():
        Path(f"{name}.yaml").write_text(text)
    return Dialplan.load([f"{name}.yaml" for name in files])


def test_the_number_that_matches_is_the_one_on_record(tmp_path, monkeypatch):
    """The same digits are a number in London in one file and in Los Angeles in the other."""
    plan = _plan_of(
        monkeypatch,
        tmp_path,
        us='region: US\nnumbers: {"+12135550100": p.A, "+1213555*": {refuse: {status: 603, reason: "no"}}}\n',
        gb='region: GB\nnumbers: {"+442079460123": p.B}\n',
    )
    assert plan.region is None
    for called, persona_name, number in (
        ("2135550100", "A", "+12135550100"),
        ("02079460123", "B", "+442079460123"),
        ("(213) 555-0100", "A", "+12135550100"),
    ):
        route = plan.decide(called, "2125550111", OPEN)
        assert (persona(route), route.called) == (persona_name, number)
        assert plan.numbers(called, "2125550111") == (route.called, route.caller)
    refused = plan.decide("2135550199", None, OPEN)
    assert isinstance(refused, NoRoute) and refused.called == "+12135550199"
    assert plan.numbers("2135550199", None)[0] == refused.called
    unknown = plan.decide("3105550199", None, OPEN)
    assert isinstance(unknown, NoRoute) and unknown.called == plan.numbers("3105550199", None)[0]


def test_the_index_finds_what_looking_at_each_entry_finds():
    chance = random.Random(11)
    files = {}
    taken: set[str] = set()
    for region, start in (("US", "+1212555"), ("GB", "+44207946")):
        numbers = []
        for _ in range(200):
            text = start + "".join(chance.choice("0123") for _ in range(4))
            pattern = "".join(chance.choice([digit, digit, digit, "?"]) for digit in text[8:])
            text = chance.choice([text, text, text[:8] + pattern, text[: chance.randrange(6, 10)] + "*"])
            if text not in taken:
                taken.add(text)
                numbers.append(text)
        files[region] = numbers
    rules = (Rule("us:1", "", PersonaRef(Path("p.py"), "A")),)
    entries = [
        Entry(NumberPattern(text), rules, f"{region}:{line}", PlanFile(region, None, region, HolidayCalendar()))
        for region, numbers in files.items()
        for line, text in enumerate(numbers)
    ]
    plan = Dialplan(tuple(entries))
    matched = 0
    for _ in range(500):
        start = chance.choice(["+1212555", "212555", "12125", "+44207946", "0207946", "207946"])
        called = start + "".join(chance.choice("0123") for _ in range(4))
        region = chance.choice([None, None, "US", "GB"])
        forms = {own: normalise(called, region or own) for own in files}
        slow = [e for e in entries if e.pattern.matches(forms[e.plan.region])]
        slow.sort(key=lambda e: e.pattern.specificity, reverse=True)
        assert list(plan.index.find(called, None, region).entries) == slow
        matched += bool(slow)
    assert matched > 100


def test_twenty_thousand_numbers_cost_a_call_no_more_than_twenty():
    plans = {}
    for count in (20, 20_000):
        plan_file = PlanFile("us", None, "US", HolidayCalendar())
        rule = Rule("us:1", "", PersonaRef(Path("p.py"), "A"))
        numbers = [NumberPattern(f"+1212{2_000_000 + n}") for n in range(count)]
        plans[count] = Dialplan(tuple(Entry(number, (rule,), "us:1", plan_file) for number in numbers))
    spent = {count: [] for count in plans}
    for _ in range(30):
        for count, plan in plans.items():
            began = time.perf_counter()
            assert persona(plan.decide("2122000007", "2125550111", OPEN)) == "A"
            spent[count].append(time.perf_counter() - began)
    assert min(spent[20_000]) < 3 * min(spent[20])


def test_thousands_of_patterns_are_compared_with_their_like_only():
    plan_file = PlanFile("us", None, "US", HolidayCalendar())
    rule = Rule("us:1", "", PersonaRef(Path("p.py"), "A"))
    texts = [f"+1212{n:06}?" for n in range(5000)] + ["+12120004?77"]
    entries = [Entry(NumberPattern(text), (rule,), f"us:{line}", plan_file) for line, text in enumerate(texts)]
    problems = duplicate_numbers(entries)
    rivals = [f'"+12120004{digit}7?"' for digit in range(10)]
    assert [next(rival for rival in rivals if rival in problem.message) for problem in problems] == rivals
