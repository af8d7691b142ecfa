"""What LiveKit SIP should contain, and the steps to get there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from telephony.livekit.trunk.desired import ANY_NUMBER, NUMBERS, RULE, Carrier, Desired, Source, desired_objects
from telephony.livekit.trunk.errors import SipObjectRefused
from telephony.livekit.trunk.fakes import FakeSipApi
from telephony.livekit.trunk.objects import DispatchRule, Found, InboundTrunk, OutboundTrunk
from telephony.livekit.trunk.plan import Action, Verb, apply, make_plan

CARRIER = Carrier("main", "sip.example.net", ("+15550100",), "tls", "me", "swordfish")


def desired(
    numbers: tuple[str, ...] = ("+15550100",),
    patterns: tuple[str, ...] = (),
    sources: tuple[Source, ...] = (Source("local", ("127.0.0.0/8",)),),
    carriers: tuple[Carrier, ...] = (),
    agent_name: str = "trunkline",
    secret: str = "key",
) -> Desired:
    return desired_objects(numbers, patterns, sources, carriers, agent_name, secret)


def named(what: Desired) -> dict[str, object]:
    return {thing.name: thing for thing in what.objects}


def verbs(plan: tuple[Action, ...]) -> list[tuple[str, str]]:
    return [(action.verb.value, action.thing.name) for action in plan]


async def synchronise(api: FakeSipApi, what: Desired) -> list[str]:
    api.log.clear()
    await apply(make_plan(what.objects, await api.objects()), api)
    return api.log


class TestDesired:
    def test_exact_numbers_and_all_networks_are_one_trunk(self) -> None:
        sources = (Source("a", ("192.0.2.0/24",)), Source("b", ("198.51.100.7/32", "192.0.2.0/24")))
        what = desired(("+2", "+1", "+2"), sources=sources)
        assert what.objects == (
            InboundTrunk(NUMBERS, ("+1", "+2"), ("192.0.2.0/24", "198.51.100.7/32")),
            DispatchRule(RULE, (NUMBERS,), "call-", "trunkline"),
        )
        assert what.notes == ()

    def test_a_single_trunk_is_told_to_the_agent(self) -> None:
        rule = named(desired())[RULE]
        assert isinstance(rule, DispatchRule)
        assert rule.attributes == {"trunkline.trunk": "local"}

    def test_a_pattern_needs_a_trunk_without_numbers(self) -> None:
        what = desired(patterns=("+1555020?",))
        assert named(what)[ANY_NUMBER] == InboundTrunk(ANY_NUMBER, (), ("127.0.0.0/8",))
        rule = named(what)[RULE]
        assert isinstance(rule, DispatchRule)
        assert rule.trunks == (ANY_NUMBER, NUMBERS)
        assert "+1555020?: LiveKit takes exact numbers only" in what.notes[0]

    def test_so_do_numbers_without_country_code(self) -> None:
        what = desired(sources=(Source("local", ("127.0.0.0/8",), local_numbers=True),))
        assert ANY_NUMBER in named(what)
        assert "local: numbers may arrive without country code" in what.notes[0]

    @pytest.mark.parametrize("everywhere", ["0.0.0.0/0", "::/0"])
    def test_any_number_from_everywhere_is_warned_of(self, everywhere: str) -> None:
        sources = (Source("local", (everywhere,)),)
        assert any("anybody can call any number" in note for note in desired(patterns=("*",), sources=sources).notes)
        assert desired(sources=sources).notes == ()

    def test_no_agent_name_means_no_dispatch(self) -> None:
        rule = named(desired(agent_name=""))[RULE]
        assert isinstance(rule, DispatchRule)
        assert rule.agent_name is None

    def test_without_numbers_no_rule_is_made(self) -> None:
        what = desired((), carriers=(CARRIER,))
        assert [thing.name for thing in what.objects] == ["trunkline:outbound:main"]
        assert "no call can come in" in what.notes[0]

    def test_a_password_is_compared_by_a_mark_that_needs_the_secret(self) -> None:
        trunks = [desired_objects((), (), (), (CARRIER,), "", secret).objects[0] for secret in ("one", "one", "two")]
        assert trunks[0] == trunks[1] != trunks[2]
        assert "swordfish" not in repr(trunks[0])
        assert isinstance(trunks[0], OutboundTrunk)
        assert trunks[0].password == "swordfish"
        assert trunks[0].password_mark not in ("", "swordfish")


class TestPlan:
    async def test_everything_is_made_once(self) -> None:
        api = FakeSipApi()
        what = desired(patterns=("+1555*",), carriers=(CARRIER,))
        assert await synchronise(api, what) == [
            f"create {ANY_NUMBER}",
            f"create {NUMBERS}",
            "create trunkline:outbound:main",
            f"create {RULE}",
        ]
        assert await synchronise(api, what) == []
        assert {action.verb for action in make_plan(what.objects, await api.objects())} == {Verb.KEEP}

    async def test_what_has_gone_from_settings_is_deleted_rules_first(self) -> None:
        api = FakeSipApi()
        await synchronise(api, desired(carriers=(CARRIER,)))
        log = await synchronise(api, Desired((), ()))
        assert [words.split()[-1] for words in log] == [RULE, "trunkline:outbound:main", NUMBERS]
        assert api.kept == {}

    async def test_others_objects_are_left_whatever_their_name(self) -> None:
        theirs = [
            Found("X1", False, InboundTrunk(NUMBERS, ("+1",), ())),
            Found("X2", False, OutboundTrunk("desk", "sip.example.net", ("+1",))),
            Found("X3", False, DispatchRule("any", (), "", None)),
        ]
        api = FakeSipApi(tuple(theirs))
        plan = make_plan(desired().objects, await api.objects())
        assert verbs(plan) == [
            ("create", NUMBERS), ("create", RULE), ("leave", NUMBERS), ("leave", "desk"), ("leave", "any"),
        ]  # fmt: skip
        await apply(plan, api)
        await synchronise(api, Desired((), ()))
        assert set(api.kept) == {"X1", "X2", "X3"}

    async def test_two_of_ours_with_one_name_become_one(self) -> None:
        thing = desired().objects[0]
        plan = make_plan([thing], [Found("A", True, thing), Found("B", True, thing)])
        assert [(action.verb, action.id) for action in plan] == [(Verb.DELETE, "B"), (Verb.KEEP, "A")]

    async def test_changes_are_told_field_by_field_but_no_password(self) -> None:
        api = FakeSipApi()
        await synchronise(api, desired(carriers=(CARRIER,)))
        changed = replace(CARRIER, address="sip2.example.net", password="new-secret")
        plan = make_plan(desired(("+15550100", "+15550101"), carriers=(changed,)).objects, await api.objects())
        assert {action.thing.name: [str(each) for each in action.changes] for action in plan if action.changes} == {
            NUMBERS: ["numbers: +15550100 -> +15550100, +15550101"],
            "trunkline:outbound:main": ["address: sip.example.net -> sip2.example.net", "password: another -> new"],
        }
        created = "\n".join(map(str, make_plan(desired(carriers=(CARRIER,)).objects, ())))
        assert "password: (set)" in created
        assert "swordfish" not in created

    async def test_a_rule_whose_trunk_was_deleted_by_hand_is_joined_to_the_new_one(self) -> None:
        api = FakeSipApi()
        await synchronise(api, desired())
        trunk = next(id_ for id_, each in api.kept.items() if each.thing.name == NUMBERS)
        rule_id, rule = next((id_, each) for id_, each in api.kept.items() if each.thing.name == RULE)
        del api.kept[trunk]
        assert isinstance(rule.thing, DispatchRule)
        api.kept[rule_id] = replace(rule, thing=replace(rule.thing, trunks=(trunk,)))  # as LiveKit tells it then
        assert await synchronise(api, desired()) == [f"create {NUMBERS}", f"update {rule_id} {RULE}"]

    async def test_a_step_that_fails_stops_and_the_next_run_goes_on(self) -> None:
        api, done = FakeSipApi(), []
        what = desired(carriers=(CARRIER,))

        def note(action: Action) -> None:
            done.append(action.thing.name)
            if len(done) == 2:
                api.refuses = SipObjectRefused("trunkline:calls: in use")

        with pytest.raises(SipObjectRefused):
            await apply(make_plan(what.objects, await api.objects()), api, note)
        assert done == [NUMBERS, "trunkline:outbound:main"]
        assert await synchronise(api, what) == [f"create {RULE}"]
