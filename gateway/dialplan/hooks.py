"""What a dialplan has programs asked before a call, and told after it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from gateway.config.before_call import BeforeCallSettings
from gateway.config.fields import SecretMissing
from gateway.config.located_yaml import Document, Located
from gateway.config.messages import validate_model
from gateway.config.summary import SummarySettings
from gateway.dialplan.model import BeforeCall, PersonaRef

__all__ = ["Hook", "missing_secret", "read_after_call", "read_before_call"]


Hook = BeforeCallSettings | SummarySettings


def read_before_call(
    document: Document, path: Located, value: Any, persona: Callable[[Located, Any], PersonaRef | None]
) -> BeforeCall | Literal[False] | None:
    """False: none, whatever the file says for all its numbers. `persona` looks for one and notes what is wrong."""
    if value is False:
        return False
    settings = validate_model(document, path, BeforeCallSettings, value)
    if settings is None:
        return None
    found = [persona((*path, "personas", index), name) for index, name in enumerate(settings.personas)]
    return BeforeCall(settings, tuple(each for each in found if each is not None))


def read_after_call(document: Document, path: Located, value: Any) -> SummarySettings | Literal[False] | None:
    """False: nothing is posted, whatever the file or the settings say."""
    return False if value is False else validate_model(document, path, SummarySettings, value)


def missing_secret(hook: Hook) -> str:
    """A sentence; empty if its secret is there, or it has none."""
    try:
        if hook.secret is not None:
            hook.secret.read()
    except SecretMissing as error:
        return str(error)
    return ""
