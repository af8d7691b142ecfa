"""The registrar's bindings: RFC 3261 section 10.3, RFC 3327, RFC 5626."""

from __future__ import annotations

import pytest

from telephony.sip.bindings import Binding, BindingPolicy, BindingTable, Change, Flow, listed
from telephony.sip.parse import Request, parse
from telephony.sip.registering import RegisterRefused, WantedContact, read_register
from telephony.sip.resolving import Place
from telephony.sip.uri import same_uri

POLICY = BindingPolicy(shortest_s=60, longest_s=3600, usual_s=300, most=3)
HERE = Flow(Place("udp", "192.0.2.7", 40000))


def register(*lines: str, cseq: int = 1, call_id: str = "one") -> Request:
    text = (
        "REGISTER sip:pbx.example SIP/2.0",
        "Via: SIP/2.0/UDP 10.0.0.2:5060;branch=z9hG4bK1",
        "From: <sip:anna@pbx.example>;tag=1",
        "To: <sip:anna@pbx.example>",
        f"Call-ID: {call_id}",
        f"CSeq: {cseq} REGISTER",
        *lines,
        "",
        "",
    )
    message = parse("\r\n".join(text).encode())
    assert isinstance(message, Request)
    return message


class Registrar:
    def __init__(self) -> None:
        self.table = BindingTable()

    def __call__(
        self, *lines: str, cseq: int = 1, call_id: str = "one", now: float = 0.0, flow: Flow = HERE
    ) -> list[Change]:
        order = read_register(register(*lines, cseq=cseq, call_id=call_id))
        return [each.change for each in self.table.update("anna", order, flow, now, POLICY)]

    def uris(self, now: float = 0.0) -> list[str]:
        return [binding.uri for binding in self.table.of("anna", now)]


@pytest.fixture
def registrar() -> Registrar:
    return Registrar()


def test_a_binding_is_added_refreshed_and_removed(registrar: Registrar) -> None:
    assert registrar("Contact: <sip:anna@10.0.0.2>", "Expires: 120") == [Change.REGISTERED]
    assert registrar("Contact: <sip:anna@10.0.0.2>;expires=90", "Expires: 120", cseq=2, now=60) == [Change.REFRESHED]
    (binding,) = registrar.table.of("anna", 60)
    assert (binding.expires_at, binding.registered_at, binding.cseq, binding.flow) == (150, 0, 2, HERE)
    assert registrar("Contact: <sip:anna@10.0.0.2>;expires=0", cseq=3, now=70) == [Change.UNREGISTERED]
    assert len(registrar.table) == 0
    assert registrar("Contact: <sip:anna@10.0.0.2>;expires=0", cseq=4) == []


def test_a_register_without_contact_only_asks(registrar: Registrar) -> None:
    registrar("Contact: <sip:anna@10.0.0.2>")
    assert registrar(cseq=2) == []
    assert registrar.uris() == ["sip:anna@10.0.0.2"]


def test_a_star_removes_all_and_needs_expires_0(registrar: Registrar) -> None:
    registrar("Contact: <sip:anna@10.0.0.2>, <sip:anna@10.0.0.3>")
    for lines in (("Contact: *",), ("Contact: *", "Expires: 60"), ("Contact: *, <sip:anna@10.0.0.2>", "Expires: 0")):
        with pytest.raises(RegisterRefused) as refused:
            registrar(*lines, cseq=2)
        assert refused.value.status == 400
    assert registrar("Contact: *", "Expires: 0", cseq=2) == [Change.UNREGISTERED] * 2
    assert registrar.uris() == []


def test_how_long_it_holds_is_bounded(registrar: Registrar) -> None:
    with pytest.raises(RegisterRefused) as refused:
        registrar("Contact: <sip:anna@10.0.0.2>", "Expires: 59")
    assert (refused.value.status, refused.value.headers) == (423, {"Min-Expires": "60"})
    registrar("Contact: <sip:anna@10.0.0.2>", "Expires: 99999")
    assert registrar.table.of("anna", 0)[0].expires_at == 3600
    registrar("Contact: <sip:anna@10.0.0.3>", call_id="two", now=1)
    assert registrar.table.of("anna", 1)[0].expires_at == 301  # nothing was asked for


def test_nothing_is_changed_if_one_contact_is_refused(registrar: Registrar) -> None:
    with pytest.raises(RegisterRefused):
        registrar("Contact: <sip:anna@10.0.0.2>;expires=100, <sip:anna@10.0.0.3>;expires=5")
    assert registrar.uris() == []


def test_one_that_comes_late_changes_nothing(registrar: Registrar) -> None:
    registrar("Contact: <sip:anna@10.0.0.2>", cseq=7)
    for lines in (("Contact: <sip:anna@10.0.0.2>;expires=0",), ("Contact: *", "Expires: 0")):
        with pytest.raises(RegisterRefused, match="CSeq"):
            registrar(*lines, cseq=7)
    assert registrar("Contact: <sip:anna@10.0.0.2>;expires=0", cseq=1, call_id="after-a-restart") == [
        Change.UNREGISTERED
    ]


def test_contacts_are_in_the_order_of_q_then_the_latest_first(registrar: Registrar) -> None:
    registrar("Contact: <sip:a@10.0.0.2>;q=0.5, <sip:b@10.0.0.3>;q=0.9")
    registrar("Contact: <sip:c@10.0.0.4>;q=0.5", call_id="two", now=1)
    assert registrar.uris(1) == ["sip:b@10.0.0.3", "sip:c@10.0.0.4", "sip:a@10.0.0.2"]


def test_the_oldest_makes_room(registrar: Registrar) -> None:
    for n in range(4):
        changes = registrar(f"Contact: <sip:anna@10.0.0.{n}>", call_id=str(n), now=n)
    assert changes == [Change.REGISTERED, Change.REPLACED]
    assert registrar.uris(4) == ["sip:anna@10.0.0.3", "sip:anna@10.0.0.2", "sip:anna@10.0.0.1"]


def test_it_expires_and_goes_with_its_connection(registrar: Registrar) -> None:
    registrar("Contact: <sip:anna@10.0.0.2>;expires=60")
    registrar("Contact: <sip:anna@10.0.0.3>", call_id="two", flow=Flow(Place("tcp", "192.0.2.7", 40000), 9))
    assert [each.change for each in registrar.table.expire(59)] == []
    assert registrar.uris(60) == ["sip:anna@10.0.0.3"]  # nobody is called whose time is over
    assert [each.change for each in registrar.table.expire(60)] == [Change.EXPIRED]
    assert registrar.table.closed(8) == ()
    (closed,) = registrar.table.closed(9)
    assert (closed.change, closed.gone) == (Change.FLOW_CLOSED, True)
    assert len(registrar.table) == 0


def test_an_instance_with_reg_id_replaces_its_former_contact(registrar: Registrar) -> None:
    registrar('Contact: <sip:anna@10.0.0.2>;+sip.instance="<urn:uuid:1>";reg-id=1')
    moved = 'Contact: <sip:anna@10.0.0.9:5070>;+sip.instance="<urn:uuid:1>";reg-id=1'
    assert registrar(moved, cseq=2) == [Change.REFRESHED]
    assert registrar.uris() == ["sip:anna@10.0.0.9:5070"]


def test_path_and_the_answers_contacts(registrar: Registrar) -> None:
    registrar("Contact: <sip:anna@10.0.0.2>;q=0.5", "Path: <sip:edge.example;lr>", "User-Agent: phone 1")
    (binding,) = registrar.table.of("anna", 0)
    assert (binding.path, binding.agent) == (("<sip:edge.example;lr>",), "phone 1")
    assert listed([binding], 100.4) == [("Contact", "<sip:anna@10.0.0.2>;expires=200;q=0.5")]


@pytest.mark.parametrize(
    "lines",
    [
        ("Contact: <tel:+15550100>",),
        ("Contact: nobody",),
        ("Contact: <sip:anna@10.0.0.2",),
        (f"Contact: <sip:{'a' * 600}@10.0.0.2>",),
        ("Contact: " + ", ".join(f"<sip:anna@10.0.0.{n}>" for n in range(11)),),
        ("Contact: <sip:anna@10.0.0.2>", "Path: nonsense"),
    ],
)
def test_what_cannot_be_a_contact_is_refused(lines: tuple[str, ...]) -> None:
    with pytest.raises(RegisterRefused) as refused:
        read_register(register(*lines))
    assert refused.value.status == 400


def test_an_unreadable_preference_or_expiry_counts_as_none() -> None:
    order = read_register(register("Contact: <sip:anna@10.0.0.2>;q=high;expires=soon", "Expires: 90"))
    assert order.contacts == (WantedContact("sip:anna@10.0.0.2", 90),)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("sip:anna@PBX.example", "sip:anna@pbx.EXAMPLE", True),
        ("sip:Anna@pbx.example", "sip:anna@pbx.example", False),
        ("sip:%61nna@pbx.example", "sip:anna@pbx.example", True),
        ("sip:anna@pbx.example", "sip:anna@pbx.example:5060", False),
        ("sip:anna@pbx.example;transport=tcp", "sip:anna@pbx.example", False),
        ("sip:anna@pbx.example;line=1", "sip:anna@pbx.example", True),
        ("sip:anna@pbx.example;line=1", "sip:anna@pbx.example;line=2", False),
        ("sips:anna@pbx.example", "sip:anna@pbx.example", False),
        ("nonsense", "sip:anna@pbx.example", False),
    ],
)
def test_equal_uris(one: str, other: str, same: bool) -> None:
    assert same_uri(one, other) is same_uri(other, one) is same


def test_kept_bindings_are_restored() -> None:
    table = BindingTable()
    binding = Binding("anna", "sip:anna@10.0.0.2", HERE, 60.0, 0.0, "one", 3)
    table.restore([binding])
    assert table.of("anna", 59) == (binding,)
    with pytest.raises(RegisterRefused, match="CSeq"):
        table.update("anna", read_register(register("Contact: <sip:anna@10.0.0.2>", cseq=3)), HERE, 1, POLICY)
