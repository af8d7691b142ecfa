"""Menus, collectors and transfers of a dialplan: what is read, what is refused with its line, and what is shown."""

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.commands import check, explain
from gateway.config import ConfigError, load_settings
from gateway.control import Prepare
from gateway.dialplan import Dialplan
from gateway.dialplan.format import read_plan
from gateway.flows import (  # fmt: skip
    CollectStep,
    HangUpStep,
    MenuStep,
    PersonaStep,
    QueueStep,
    TransferStep,
    alike,
    step_from_dict,
    step_to_dict,
    steps_in,
)
from gateway.livekit.room_plan import room_metadata
from gateway.livekit_jobs.routing import plan_of_metadata

PLAN = """\
numbers:
  "+15550100":
    menu:
      say: For appointments press 1, for invoices 2, for the desk 0.
      "1": {persona: p.Open, name: appointments}
      "2":
        collect:
          say: Your invoice number, please.
          as: invoice
          length: 6
          secret: true
          then: p.Closed
          otherwise: {hangup: Goodbye.}
      "3":
        menu: {say: Bitte wählen Sie., language: de, "1": p.Open, otherwise: {hangup: Auf Wiederhören.}}
      "0": {transfer: {to: "+15550199", say: One moment., trunk: carrier, otherwise: p.Open}}
      repeat: "*"
      otherwise: p.Closed
  "+15550101": {transfer: "+15550199"}
  "+15550102": {hangup: }
  "+15550103": [{from: withheld, hangup: We take no hidden calls.}, {otherwise: {transfer: sip:desk@192.0.2.7}}]
  "+15550104": p.Open
"""
TRUNKS = """\
sip:
  listen: ["udp://127.0.0.1:5060"]
  trunks: [{name: carrier, allow: ["192.0.2.0/24"], outbound: {host: 192.0.2.7, destinations: [%s]}}]
dialplans: [d.yaml]
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("p.py").write_text("from agent import Agent\nclass Open(Agent): pass\nclass Closed(Agent): pass\n")
    Path("d.yaml").write_text(PLAN)
    return tmp_path


def flow_of(number: str, plan: str = PLAN):
    Path("d.yaml").write_text(plan)
    route = Dialplan.load([Path("d.yaml")]).decide(number, "+15550111", datetime.now(UTC))
    return route.persona.flow


def problems(text: str) -> list[str]:
    return [str(problem) for problem in read_plan(Path("d.yaml"), text)[2]]


def of_menu(*lines: str) -> list[str]:
    return problems("\n".join(['numbers:\n  "1":\n    menu:', *(f"      {line}" for line in lines)]) + "\n")


def test_a_menu_leads_to_personas_and_to_other_steps():
    menu = flow_of("+15550100")
    assert isinstance(menu, MenuStep)
    assert [(choice.key, choice.name, type(choice.step)) for choice in menu.choices] == [
        ("1", "appointments", PersonaStep),
        ("2", "", CollectStep),
        ("3", "", MenuStep),
        ("0", "", TransferStep),
    ]
    collect, german, transfer = (choice.step for choice in menu.choices[1:])
    assert (collect.variable, collect.least, collect.most, collect.secret) == ("invoice", 6, 6, True)
    assert (collect.then.name, collect.otherwise) == ("Closed", HangUpStep("Goodbye."))
    assert (german.language, german.otherwise.language, collect.language) == ("de", "de", "en")
    assert (transfer.to, transfer.say, transfer.trunk) == ("+15550199", "One moment.", "carrier")
    assert (menu.repeat, menu.otherwise.name) == ("*", "Closed")
    assert [step.where for step in steps_in(menu)][:3] == ["d.yaml:3", "d.yaml:5", "d.yaml:7"]


def test_short_forms():
    assert flow_of("+15550101") == TransferStep("+15550199")
    assert flow_of("+15550102") == HangUpStep()
    assert flow_of("+15550103") == TransferStep("sip:desk@192.0.2.7")
    assert flow_of("+15550104") is None


def test_its_personas_are_those_of_the_plan():
    plan = Dialplan.load([Path("d.yaml")])
    assert {str(ref) for ref in plan.personas} == {"p.Open", "p.Closed"}
    assert [ref.name for ref in plan.flows] == ["menu", "transfer", "hangup", "hangup", "transfer"]


def test_it_travels_as_json_to_call_workers_and_to_jobs():
    menu = flow_of("+15550100")
    assert step_from_dict(json.loads(json.dumps(step_to_dict(menu)))) == menu
    call = {"call_id": "c", "direction": "inbound", "called": "+15550100", "caller": None, "trunk": "t"}
    prepared = Prepare("c-1", call, "d.yaml", "menu", "rule", flow=json.loads(json.dumps(step_to_dict(menu))))
    assert prepared.persona.flow == menu
    plan = plan_of_metadata(room_metadata(prepared))
    assert plan.persona.flow == menu
    assert type(plan).from_dict(json.loads(json.dumps(plan.to_dict()))).persona == plan.persona


def test_the_same_flow_in_another_folder_is_alike():
    menu = flow_of("+15550100")
    elsewhere = step_from_dict(json.loads(json.dumps(step_to_dict(menu)).replace('"p.py"', '"/srv/p.py"')))
    assert elsewhere != menu and alike(elsewhere, menu)
    assert not alike(flow_of("+15550101"), TransferStep("+19005550199"))


@pytest.mark.parametrize(
    ("lines", "wrong"),
    [
        (("say: Hello.",), "d.yaml:3: numbers[\"1\"].menu: offers nothing: add keys, as in `\"1\": clinic.Reception`"),
        (('"1": p.Open',), 'd.yaml:3: numbers["1"].menu.say: required'),
        (("say: Hi.", '"1": p.Opne'), 'd.yaml:5: numbers["1"].menu["1"]: persona "p.Opne" is unknown: '
            'p.py has no class or factory Opne; did you mean "Open"?'),
        (("say: Hi.", '"1": {persona: p.Open, hangup: Bye}'), 'd.yaml:5: numbers["1"].menu["1"]: has persona and '
            "hangup: it needs exactly one of `persona`, `menu`, `collect`, `transfer`, `queue`, `hangup`"),
        (("say: Hi.", '"1": {}'), 'd.yaml:5: numbers["1"].menu["1"]: leads nowhere: it needs exactly one of '
            "`persona`, `menu`, `collect`, `transfer`, `queue`, `hangup`"),
        (("say: Hi.", '"1": p.Open', "retrys: 1"), 'd.yaml:6: numbers["1"].menu.retrys: unknown setting; '
            'did you mean "retries"?'),
        (("say: Hi.", '"1": p.Open', "retries: 11"), 'd.yaml:6: numbers["1"].menu.retries: must be less than or '
            "equal to 10"),
        (("say: Hi.", '"1": p.Open', 'repeat: "1"'), 'd.yaml:6: numbers["1"].menu.repeat: key "1" is one of the '
            "choices"),
        (("say: Hi.", '"1": {persona: p.Open, name: Desk}', '"2": {persona: p.Open, name: desk}'),
            'd.yaml:6: numbers["1"].menu["2"].name: "desk" is the name of key "1" too'),
        (("say: Hi.", '"1": {transfer: tomorrow}'), 'd.yaml:5: numbers["1"].menu["1"].transfer: "tomorrow" is '
            "neither a telephone number nor a SIP address"),
        (("say: Hi.", '"1": {collect: {say: Hi., as: pin, length: 4}}'), 'd.yaml:5: '
            'numbers["1"].menu["1"].collect: leads nowhere: it needs `then`'),
        (("say: Hi.", '"1": {collect: {say: Hi., as: a b, then: p.Open}}'), 'd.yaml:5: '
            'numbers["1"].menu["1"].collect.as: does not look right (it must match ^[A-Za-z_][A-Za-z0-9_]{0,63}$)'),
        (("say: Hi.", '"1": {collect: {say: Hi., as: a, least: 5, most: 4, then: p.Open}}'), 'd.yaml:5: '
            'numbers["1"].menu["1"].collect.least: is above `most`'),
        (("say: Hi.", '"1": {collect: {say: Hi., as: a, length: 5, most: 4, then: p.Open}}'), 'd.yaml:5: '
            'numbers["1"].menu["1"].collect.length: goes without `least` and `most`'),
        (("say: Hi.", '"1": {hangup: [a]}'), 'd.yaml:5: numbers["1"].menu["1"].hangup: must be text'),
    ],
)  # fmt: skip
def test_each_mistake_is_told_with_its_line(lines, wrong):
    assert of_menu(*lines) == [wrong]


def test_all_mistakes_of_a_flow_are_told_at_once():
    told = of_menu("sya: Hi.", '"1": p.Nobody', '"2": {hangup: 5}', "otherwise: {menu: {}}")
    assert [line.split(": ")[0] for line in told] == ["d.yaml:3", "d.yaml:4", "d.yaml:5", "d.yaml:6", *["d.yaml:7"] * 2]


def test_a_transfer_to_a_closed_number_is_found_by_the_check():
    open_to = load_settings("s.yaml", TRUNKS % '"+1555"')
    assert Dialplan.load([Path("d.yaml")], open_to).flows
    with pytest.raises(ConfigError) as caught:
        Dialplan.load([Path("d.yaml")], load_settings("s.yaml", TRUNKS % '"+44"'))
    assert [str(problem) for problem in caught.value.problems] == [
        f'd.yaml:{line}: transfer: +15550199 is not among the destinations of trunk "carrier"' for line in (16, 19)
    ]
    Path("d.yaml").write_text(PLAN.replace("trunk: carrier", "trunk: carier"))
    with pytest.raises(ConfigError, match='unknown trunk "carier"; known are: carrier'):
        Dialplan.load([Path("d.yaml")], open_to)


def trunkline(*words: str) -> int:
    parser = argparse.ArgumentParser(prog="trunkline")
    subparsers = parser.add_subparsers(required=True)
    check.add_parser(subparsers)
    explain.add_parser(subparsers)
    args = parser.parse_args(words)
    return args.run(args)


def test_explain_shows_where_each_key_leads(capsys):
    assert trunkline("check", "d.yaml") == 0
    assert capsys.readouterr().out == "d.yaml: ok. 5 numbers, personas p.Open, p.Closed\n"
    assert trunkline("explain", "+15550100", "--dialplan", "d.yaml") == 0
    assert capsys.readouterr().out.split("-> ")[1] == (
        "d.menu (d.yaml)\n"
        '    menu "For appointments press 1, for invoices 2, for the desk 0."\n'
        '      1 or "appointments": p.Open\n'
        '      2: collect 6 digits as invoice, secret "Your invoice number, please."\n'
        "        then: p.Closed\n"
        '        otherwise: hang up "Goodbye."\n'
        '      3: menu "Bitte wählen Sie."\n'
        "        1: p.Open\n"
        '        otherwise: hang up "Auf Wiederhören."\n'
        "      0: transfer to +15550199 over carrier\n"
        "        otherwise: p.Open\n"
        "      *: says it again\n"
        "      otherwise: p.Closed\n"
    )
    assert trunkline("explain", "+15550102", "--dialplan", "d.yaml", "--json") == 0
    assert json.loads(capsys.readouterr().out)["persona"]["flow"]["do"] == "hangup"


def test_a_voice_that_nobody_has_is_found_by_the_check(capsys):
    Path("d.yaml").write_text('numbers:\n  "1":\n    menu: {say: Hi., voice: nobody/such, "1": p.Open}\n')
    Path("s.yaml").write_text(TRUNKS % '"+1555"' + "speech: {tts: [espeak]}\n")
    assert trunkline("check", "--config", "s.yaml") == 2
    assert capsys.readouterr().err.startswith("d.yaml:3: menu.voice: ")


def test_a_queue_must_be_in_the_settings():
    Path("d.yaml").write_text(
        'numbers:\n  "1": {queue: {name: desk, skills: [german], say: Hi., otherwise: p.Open}}\n  "2": {queue: dosk}\n'
    )
    assert step_from_dict(json.loads(json.dumps(step_to_dict(flow_of("1", Path("d.yaml").read_text()))))) == QueueStep(
        "desk", "Hi.", 0, ("german",), PersonaStep("p.py", "Open")
    )
    with pytest.raises(ConfigError) as caught:
        Dialplan.load([Path("d.yaml")], load_settings("s.yaml", TRUNKS % '"+1555"' + "queues: [{name: desk}]\n"))
    assert [str(each) for each in caught.value.problems] == [
        'd.yaml:3: queue: unknown queue "dosk"; did you mean "desk"?'
    ]
