import sys
from pathlib import Path

import pytest

from gateway.config import ConfigError, Problem
from gateway.dialplan import PersonaRef
from gateway.dialplan.personas import classes_in, load_persona


class Base:
    """Stands for agent.Agent where only loading is tested."""


@pytest.fixture
def write(tmp_path, monkeypatch):
    module = sys.modules[__name__]
    monkeypatch.setitem(sys.modules, "stand_in_agent", module)

    def write(name: str, text: str) -> Path:
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"from stand_in_agent import Base\n{text}")
        return file

    return write


def refused(file: Path, name: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_persona(PersonaRef(file, name, "d.yaml:3"), Base)
    return str(caught.value)


def test_a_persona_is_loaded_once(write):
    file = write("p.py", "class A(Base): pass\nclass B(A): pass\n")
    first = load_persona(PersonaRef(file, "A"), Base)
    assert first is load_persona(PersonaRef(file, "A"), Base)
    assert issubclass(load_persona(PersonaRef(file, "B"), Base), first)


def test_two_folders_may_have_files_of_one_name(write):
    one = load_persona(PersonaRef(write("one/p.py", "class A(Base): where = 1\n"), "A"), Base)
    two = load_persona(PersonaRef(write("two/p.py", "class A(Base): where = 2\n"), "A"), Base)
    assert (one.where, two.where) == (1, 2)


def test_loading_leaves_the_import_path_alone(write):
    before = list(sys.path)
    load_persona(PersonaRef(write("p.py", "class A(Base): pass\n"), "A"), Base)
    assert sys.path == before
    assert "p" not in sys.modules


def test_files_of_one_folder_use_each_other_with_a_dot(write):
    write("shared.py", "class Common(Base): greeting = 'hi'\n")
    file = write("p.py", "from .shared import Common\nclass A(Common): pass\n")
    assert load_persona(PersonaRef(file, "A"), Base).greeting == "hi"


def test_without_the_dot_the_message_says_so(write):
    write("shared2.py", "")
    file = write("p.py", "import shared2\nclass A(Base): pass\n")
    assert f"{file}:2: import failed" in refused(file, "A")
    assert 'with a dot: "from .shared2 import' in refused(file, "A")


def test_what_is_no_persona_names_file_and_line(write):
    file = write("p.py", "\nclass A: pass\n")
    assert refused(file, "A") == (
        f"{file}:3: A is not a persona: it must be a class derived from agent.Agent (named in d.yaml:3)"
    )
    assert "is not a persona" in refused(file, "Base")
    assert refused(file, "C") == f"{file}: has no class or factory C (named in d.yaml:3)"


def test_a_file_that_raises_names_its_line(write):
    file = write("p.py", "x = 1\nraise RuntimeError('no key')\n")
    assert refused(file, "A") == f"{file}:3: import failed: RuntimeError: no key"


def test_broken_python_names_its_line(write):
    file = write("p.py", "x = (\n")
    assert refused(file, "A").startswith(f"{file}:2: not valid Python")
    found = classes_in(file)
    assert isinstance(found, Problem)
    assert found.line == 2


def test_looking_into_a_file_does_not_run_it(write):
    file = write("p.py", "class A(Base): pass\nfrom x import B as C\nD = A\nraise SystemExit\n")
    assert classes_in(file) == {"Base": 1, "A": 2, "C": 3, "D": 4}


def test_a_missing_file(tmp_path):
    assert "no such file" in refused(tmp_path / "p.py", "A")
