import pytest

from gateway.config.located_yaml import ConfigError, path_text, read_yaml


def test_values_follow_the_core_schema_of_yaml_1_2():
    data = read_yaml(
        "f.yaml", "a: 1\nb: 1.5\nc: yes\nd: 'x'\ne: true\nf: ~\ng: 2026-12-24\nh: 0o17\ni: 1:30\nj: []"
    ).data
    assert data == {
        "a": 1, "b": 1.5, "c": "yes", "d": "x", "e": True, "f": None, "g": "2026-12-24", "h": 15, "i": "1:30", "j": (),
    }  # fmt: skip


def test_a_yaml_1_1_directive_changes_nothing():
    assert read_yaml("f.yaml", "%YAML 1.1\n---\nx: yes\n").data == {"x": "yes"}


@pytest.mark.parametrize("written", ["012", "+012", "-00"])
def test_a_leading_zero_is_never_dropped_silently(written):
    document = read_yaml("f.yaml", f"a: 1\nb: {written}\n")
    assert str(document.problems[0]).startswith(f"f.yaml:2: b: {written} begins with a zero")


def test_a_number_as_a_key_names_its_line():
    document = read_yaml("f.yaml", "a:\n  +15550100: x\n")
    assert str(document.problems[0]) == (
        'f.yaml:2: a["+15550100"]: +15550100 is a number here, not text: write "+15550100" in quotes'
    )


@pytest.mark.parametrize(("key", "words"), [("~", "is empty"), ("true", "is a yes/no value"), ("1.5", "is a number")])
def test_other_keys_that_are_no_text(key, words):
    assert words in str(read_yaml("f.yaml", f"{key}: x\n").problems[0])


def test_a_key_given_twice_names_both_lines():
    document = read_yaml("f.yaml", "a: 1\nb: 2\na: 3\n")
    assert [str(problem) for problem in document.problems] == ["f.yaml:3: a: given twice; first in line 1"]
    assert document.data["a"] == 1


@pytest.mark.parametrize(
    ("text", "line"),
    [("a: [1\nb: 2", 2), ("a: 1\n---\nb: 2", 2), ("a: *nobody", 1), ("a: b: c", 1), ("\tx: 1", 1)],
)
def test_broken_yaml_names_its_line(text, line):
    with pytest.raises(ConfigError) as caught:
        read_yaml("f.yaml", text)
    assert str(caught.value).startswith(f"f.yaml:{line}: not valid YAML")


def test_what_contains_itself_is_refused():
    with pytest.raises(ConfigError, match="contains itself"):
        read_yaml("f.yaml", "a: &a [*a]")


def test_aliases_of_aliases_cannot_eat_the_memory():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 6)]
    with pytest.raises(ConfigError, match="nested too deeply"):
        read_yaml("f.yaml", "\n".join(lines))


def test_a_missing_file_is_one_clear_problem(tmp_path):
    with pytest.raises(ConfigError, match=r"nothere\.yaml: no such file"):
        read_yaml(tmp_path / "nothere.yaml")


def test_an_empty_file_is_nothing():
    assert read_yaml("f.yaml", "").data is None


def test_places_are_written_as_people_do():
    assert path_text(("sip", "listen", 0)) == "sip.listen[0]"
    assert path_text(("numbers", "+15550100", 1, "when")) == 'numbers["+15550100"][1].when'
