"""Who is told of a call when it is over: as the dialplan says, else as the settings say. Pure."""

from __future__ import annotations

from gateway.config import Settings
from gateway.config.summary import SummarySettings
from gateway.dialplan import Dialplan

__all__ = ["AfterCalls"]


class AfterCalls:
    def __init__(self, settings: Settings, dialplan: Dialplan) -> None:
        self._common = settings.summary
        self._dialplan = dialplan

    @property
    def all(self) -> tuple[SummarySettings, ...]:
        """Each once."""
        common = () if self._common is None else (self._common,)
        return tuple(dict.fromkeys([*common, *self._dialplan.summaries]))

    def of(self, rule: str, persona: str) -> SummarySettings | None:
        """For a call with these in its record; None: nobody."""
        told = self._dialplan.after_call(rule, persona)
        return self._common if told is None else told or None

    def author(self, rule: str, persona: str) -> str:
        """What a call's worker is told (`Prepare.summary`)."""
        told = self.of(rule, persona)
        return "" if told is None else told.by
