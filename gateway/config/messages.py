"""Turns pydantic's errors into one plain sentence per mistake, with file, line and name."""

from __future__ import annotations

import difflib
import re
import typing
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gateway.config.located_yaml import Document, Located, number_as_text

__all__ = ["similar", "validate_model"]

M = TypeVar("M", bound=BaseModel)

_WORDS = (
    (re.compile(r"^Value error, "), ""),
    (re.compile(r"^Input should be a valid string$"), "must be text"),
    (re.compile(r"^Input should be a valid integer$"), "must be a whole number"),
    (re.compile(r"^Input should be a valid number$"), "must be a number"),
    (re.compile(r"^Input should be a valid boolean$"), "must be true or false"),
    (re.compile(r"^Input should be a valid tuple$"), "must be a list"),
    (re.compile(r"^Input should be (a valid dictionary|an object).*$"), "must be a group of settings"),
    (re.compile(r"^Tuple should have at least (\d+) items? after validation.*$"), r"must have at least \1 entry"),
    (re.compile(r"^String should have at least 1 character$"), "is empty"),
    (
        re.compile(r"^String should match pattern '\^wss\?://.*'$"),
        'must begin with ws:// or wss://, as in "ws://127.0.0.1:7880"',
    ),
    (re.compile(r"^String should match pattern '(.*)'$"), r"does not look right (it must match \1)"),
    (re.compile(r"^Field required$"), "required"),
    (re.compile(r"^Input should be "), "must be "),
)


def validate_model(document: Document, path: Located, model: type[M], data: Any = None) -> M | None:
    """Validate the value at `path` (`data`; the whole document for the empty path). Problems go into the document,
    one per place, and the result is None."""
    content = document.data if not path and data is None else data
    try:
        return model.model_validate({} if content is None else content)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
    places = {problem.where: problem for problem in document.problems}
    for details in found:
        place = _in_document(document, path, details)
        if details["type"] == "too_short" and (*path, *place, 0) in document.lines:
            continue  # an item of the list is wrong and has its own message
        before = len(document.problems)
        document.problem((*path, *place), _message(document, path, place, details, model))
        if document.problems[before].where in places:
            document.problems.pop()  # the reader, or another arm of a union, has already reported it
        else:
            places[document.problems[before].where] = document.problems[before]
    return None


def similar(word: str, known: typing.Iterable[str]) -> str:
    """`; did you mean "x"?`, or nothing."""
    close = difflib.get_close_matches(word, list(known), 1)
    return f'; did you mean "{close[0]}"?' if close else ""


def _in_document(document: Document, path: Located, details: ErrorDetails) -> Located:
    """pydantic's place without the names of union arms, which are not in the file."""
    place: Located = details["loc"]
    if details["type"] == "missing":
        return place
    while place and (*path, *place) not in document.lines and (*path, *place) not in document.key_lines:
        place = place[:-1]
    return place


def _message(document: Document, path: Located, place: Located, details: ErrorDetails, model: type[BaseModel]) -> str:
    if details["type"] == "extra_forbidden":
        known = _fields_at(model, place[:-1])
        return f"unknown setting{similar(str(place[-1]), known)}"
    if details["type"] == "string_type" or details["msg"].startswith("Value error, must be text"):
        complaint = number_as_text(document.written, (*path, *place))
        if complaint:
            return complaint
    text = details["msg"]
    for pattern, words in _WORDS:
        text = pattern.sub(words, text)
    return text


def _fields_at(model: type[BaseModel], place: Located) -> list[str]:
    found: Any = model
    for part in place:
        if isinstance(part, str) and isinstance(found, type) and issubclass(found, BaseModel):
            found = found.model_fields[part].annotation if part in found.model_fields else None
            found = _model_in(found)
    return list(found.model_fields) if isinstance(found, type) and issubclass(found, BaseModel) else []


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model inside `Model | None`, `tuple[Model, ...]`, `Annotated[Model, …]`."""
    if isinstance(annotation, type) and typing.get_origin(annotation) is None:
        return annotation if issubclass(annotation, BaseModel) else None
    for argument in typing.get_args(annotation):
        model = _model_in(argument)
        if model is not None:
            return model
    return None
