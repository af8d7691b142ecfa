import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.dialplan.numbers import NumberPattern, normalise, normalise_caller, parse_pattern


@pytest.mark.parametrize(
    ("written", "region", "normal"),
    [
        ("+15550100", "US", "+15550100"),
        ("+15550100", None, "+15550100"),
        ("+15550100;npdi", "US", "+15550100"),
        ("sip:+15550100@192.0.2.1;user=phone", "US", "+15550100"),
        ("tel:+1-212-555-0100", "US", "+12125550100"),
        ("+1 (212) 555-0100", "GB", "+12125550100"),
        ("+44 (0)20 7946 0000", "US", "+442079460000"),
        ("15550100", "US", "+15550100"),
        ("15550100", None, "+15550100"),
        ("5550100", "US", "+15550100"),
        ("2125550100", "US", "+12125550100"),
        ("12125550100", "US", "+12125550100"),
        ("01115550100", "US", "+15550100"),
        ("0015550100", "US", "+15550100"),
        ("0015550100", None, "+15550100"),
        ("01144207946000", "US", "+44207946000"),
        ("00442079460000", "GB", "+442079460000"),
        ("02079460000", "GB", "+442079460000"),
        ("442079460000", "GB", "+442079460000"),
        ("01132345678", "GB", "+441132345678"),
        ("0611111111", "FR", "+33611111111"),
        ("447700900123", "US", "+447700900123"),
        ("8631234;phone-context=+1-914", "GB", "+19148631234"),
        ("0199;phone-context=+1555", None, "+15550199"),
        ("5550199;phone-context=+1", "GB", "+15550199"),
        ("15550199;phone-context=+1", "GB", "+15550199"),
        ("02079460123;PHONE-CONTEXT=+44", "US", "+442079460123"),
        ("030123456;isub=1;phone-context=+49", "US", "+4930123456"),
        ("911;phone-context=+1", "US", "911"),
        ("7042;phone-context=example.com", "US", "7042"),
        ("+15550100;phone-context=+49", "US", "+15550100"),
        ("5550100;phone-context=+", "US", "+15550100"),
        ("100", "US", "100"),
        ("112", "DE", "112"),
        ("123456", "US", "123456"),
        ("reception", "US", "reception"),
        ("Reception.2", "US", "Reception.2"),
        ("*98", "US", "*98"),
        ("", "US", ""),
        ("+", "US", "+"),
    ],
)
def test_every_way_to_write_a_number_gives_one_form(written, region, normal):
    assert normalise(written, region) == normal


@given(st.text(max_size=40), st.sampled_from(["US", "GB", "DE", "FR", "JP", None]))
@settings(max_examples=150, deadline=None, derandomize=True, database=None)
def test_normalising_never_fails(text, region):
    assert isinstance(normalise(text, region), str)


@given(st.from_regex(r"\+?[0-9]{1,18}", fullmatch=True), st.sampled_from(["US", "GB", "DE", "FR", None]))
@settings(max_examples=150, deadline=None, derandomize=True, database=None)
def test_what_has_become_e164_stays_as_it_is(text, region):
    number = normalise(text, region)
    if number.startswith("+"):
        assert normalise(number, region) == number


@pytest.mark.parametrize(
    "withheld", [None, "", "anonymous", "Anonymous", "sip:anonymous@anonymous.invalid", "Restricted"]
)
def test_withheld_callers(withheld):
    assert normalise_caller(withheld, "US") is None


def test_a_caller_is_normalised_as_a_number():
    assert normalise_caller("(212) 555-0100", "US") == "+12125550100"


@pytest.mark.parametrize(
    ("pattern", "number", "matches"),
    [
        ("+1555020?", "+15550205", True),
        ("+1555020?", "+1555020", False),
        ("+1555020?", "+15550200x", False),
        ("+1555*", "+1555", True),
        ("+1555*", "+15550100", True),
        ("*", "reception", True),
        ("desk-*", "desk-front", True),
        ("1??", "100", True),
        ("1??", "1ab", False),
        ("+15550100", "15550100", False),
    ],
)
def test_patterns(pattern, number, matches):
    assert parse_pattern(pattern, "US").matches(number) is matches


def test_a_dot_in_a_pattern_is_a_dot():
    assert not NumberPattern("a.b?").matches("axb1")


def test_specificity_goes_from_anything_to_exact():
    by_rank = ["*", "+1*", "+1555*", "+1555????", "+1555?1*", "+1555?1??", "+1555010*", "+1555010?", "+15550100"]
    patterns = sorted(map(NumberPattern, reversed(by_rank)), key=lambda pattern: pattern.specificity)
    assert [pattern.text for pattern in patterns] == by_rank


@pytest.mark.parametrize(
    ("first", "second", "overlap"),
    [
        ("+1555?100", "+15550?00", True),
        ("+1555?100", "+15550?01", False),
        ("+1*0", "+1*1", False),
        ("+1*0", "+15*", True),
        ("*a", "b*", True),
        ("?", "a", False),
        ("??", "?", False),
        ("*", "", True),
    ],
)
def test_overlap_of_patterns(first, second, overlap):
    assert NumberPattern(first).overlaps(NumberPattern(second)) is overlap
    assert NumberPattern(second).overlaps(NumberPattern(first)) is overlap


@given(st.text("01?*", max_size=5), st.text("01?*", max_size=5), st.text("01", max_size=6))
@settings(max_examples=300, deadline=None, derandomize=True, database=None)
def test_patterns_that_share_a_number_overlap(first, second, number):
    one, other = NumberPattern(first), NumberPattern(second)
    if one.matches(number) and other.matches(number):
        assert one.overlaps(other)
    if one.covers(other) and other.matches(number):
        assert one.matches(number)


@pytest.mark.parametrize("text", ["", "  ", "hello world", "+1555 a?", "1555010?", "5550100*", "+1", "ab(c)*"])
def test_patterns_that_can_never_match_are_refused(text):
    with pytest.raises(ValueError, match=r"number|E\.164|letters|empty|never match"):
        parse_pattern(text, "US")
