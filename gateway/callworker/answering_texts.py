"""Whether what may be said to whoever answers has all its variables, before a call is placed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog

from agent.answering import BadAnswering
from agent.factory import persona_class
from agent.warm.asking import Refused
from gateway.calls.answering import answering_for
from gateway.calls.dialling import INVALID_VARIABLE
from gateway.control import Prepare
from gateway.dialplan import load_persona
from telephony.call import CallInfo

__all__ = ["check_texts"]

log = structlog.get_logger(__name__)


def check_texts(prepared: Prepare, info: CallInfo, settings: Mapping[str, Any]) -> None:
    """Also of texts that the persona or the settings say. A persona that cannot be loaded is found out by its call.
    Raises Refused."""
    try:
        maker = load_persona(prepared.persona)
        answering = answering_for(prepared.answering, persona_class(maker).answering, settings)
        if answering is not None:
            answering.filled(info.variables)
    except BadAnswering as error:
        raise Refused(INVALID_VARIABLE, f"answering.{error}") from None
    except Exception as error:  # noqa: BLE001 - a persona's file may raise anything
        log.warning("persona_not_loaded", error=repr(error))
