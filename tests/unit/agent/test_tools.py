"""Schemas of functions, and personas that collect them."""

import dataclasses
import datetime
import enum
from typing import ClassVar, Literal

import pydantic
import pytest

from agent import Agent, RunContext, function_tool
from agent.tools import FunctionTool, collect_tools


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclasses.dataclass
class Place:
    town: str
    floor: int = 0


class Size(pydantic.BaseModel):
    width: float


@function_tool(name="everything", timeout_s=3)
async def many(
    ctx: RunContext,
    text: str,
    count: int,
    part: Literal["morning", "afternoon"],
    color: Color,
    day: datetime.date,
    tags: list[str],
    place: Place,
    size: Size | None = None,
    share: float = 0.5,
) -> str:
    """Do a lot of things
    in two lines.

    Args:
        text: What to write.
        count (int): How often,
            at least once.
        part: Which half
    Returns:
        nothing: of interest
    """
    return f"{text} {count} {part} {color} {day} {tags} {place} {size} {share}"


def test_schema_from_hints_and_docstring():
    spec = FunctionTool(many).spec
    assert (spec.name, spec.description) == ("everything", "Do a lot of things in two lines.")
    properties = spec.parameters["properties"]
    assert "ctx" not in properties
    assert properties["text"] == {"description": "What to write.", "type": "string"}
    assert properties["count"]["description"] == "How often, at least once."
    assert properties["part"]["enum"] == ["morning", "afternoon"]
    assert properties["day"]["format"] == "date"
    assert properties["tags"] == {"items": {"type": "string"}, "type": "array"}
    assert properties["share"]["default"] == 0.5
    assert spec.parameters["required"] == ["text", "count", "part", "color", "day", "tags", "place"]
    assert spec.parameters["additionalProperties"] is False
    assert spec.parameters["$defs"]["Place"]["properties"]["town"] == {"type": "string"}
    assert "title" not in str(spec.parameters)


def test_a_parameter_called_title_stays():
    @function_tool
    def name_it(title: str) -> None:
        """Name it."""

    assert "title" in FunctionTool(name_it).spec.parameters["properties"]


def test_a_tool_without_parameters_is_an_empty_object():
    @function_tool
    def nothing() -> None:
        """Nothing."""

    parameters = FunctionTool(nothing).spec.parameters
    assert (parameters["type"], parameters["properties"]) == ("object", {})


def untyped(value) -> None:  # type: ignore[no-untyped-def]
    """A parameter without a type."""


def variadic(*values: int) -> None:
    """Any number of parameters."""


def unknown(value: "Nowhere") -> None:  # type: ignore[name-defined]  # noqa: F821
    """A type that is not defined."""


@pytest.mark.parametrize(
    ("function", "said"),
    [(untyped, "value has no type"), (variadic, "values must be an ordinary"), (unknown, "Nowhere")],
)
def test_a_signature_without_a_schema_is_refused_by_name(function, said):
    with pytest.raises(TypeError, match=said) as raised:
        FunctionTool(function)
    assert function.__name__ in str(raised.value)


class Base(Agent):
    """You are the base."""

    @function_tool
    async def first(self) -> str:
        """From the base."""
        return "base"

    @function_tool
    async def second(self) -> str:
        """From the base, too."""
        return "base"


class Derived(Base):
    @function_tool
    async def second(self) -> str:
        """From the derived."""
        return "derived"

    @function_tool
    async def end_call(self) -> str:
        """My own end."""
        return "not yet"


def test_a_persona_collects_methods_functions_and_built_in_tools():
    tools = Derived(tools=[many]).tools
    assert list(tools) == ["first", "second", "end_call", "everything"]
    assert tools["second"].spec.description == "From the derived."
    assert tools["end_call"].spec.description == "My own end."
    assert list(Agent().tools) == ["end_call"]


def test_two_functions_of_one_name_are_refused():
    with pytest.raises(ValueError, match="everything"):
        collect_tools(object(), [many, many])


def test_instructions_are_the_docstring_unless_given():
    assert Base().prompt == "You are the base."
    assert Derived().prompt == "You are the base."
    assert Base(instructions="Else.").prompt == "Else."
    assert Agent().prompt == ""


def test_canned_words_merge_over_the_defaults():
    class Mine(Agent):
        canned: ClassVar[dict[str, str]] = {"still_there": "Anybody?"}

    assert Mine().say_canned("still_there") == "Anybody?"
    assert Mine().say_canned("goodbye") == Agent().say_canned("goodbye")
    with pytest.raises(KeyError):
        Mine().say_canned("unheard_of")


def test_a_persona_need_not_call_the_constructor_of_its_base():
    class Careless(Base):
        def __init__(self) -> None:
            self.own = 1

    assert "first" in Careless().tools
