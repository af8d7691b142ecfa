"""What is done about whoever answers a call that we place: in the settings, in a dialplan's `outbound`, and in an
order."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from agent.answering import AnsweringAction
from gateway.config.fields import FilePath
from telephony.media.answering.model import AnsweredBy

if TYPE_CHECKING:
    from telephony.media.answering.wording import Wording

__all__ = ["RECORDING", "AnsweringOptions", "AnsweringSettings", "merged"]

RECORDING = "file:"  # before a recording's path

_ONLY_OF = {
    AnsweringAction.SAY_WHO_CALLS: AnsweredBy.SCREENER,
    AnsweringAction.NAVIGATE: AnsweredBy.IVR,
}


def _by_value(kinds: type[AnsweredBy] | type[AnsweringAction]) -> BeforeValidator:
    """Strict models take text for names only from JSON."""

    def named(value: Any) -> Any:
        try:
            return kinds(value) if isinstance(value, str) else value
        except ValueError:
            known = ", ".join(kinds)
            raise ValueError(f"must be one of {known}") from None

    return BeforeValidator(named)


def _sensible(actions: dict[AnsweredBy, AnsweringAction]) -> dict[AnsweredBy, AnsweringAction]:
    for answered_by, action in actions.items():
        only = _ONLY_OF.get(action)
        if only is not None and answered_by is not only:
            raise ValueError(f"{action} is for {only} only, not for {answered_by}")
    return actions


def _actions_of(answered_by: AnsweredBy) -> list[str]:
    return [action.value for action in AnsweringAction if _ONLY_OF.get(action, answered_by) is answered_by]


_ACTIONS_SCHEMA: dict[str, Any] = {
    "properties": {each.value: {"type": "string", "enum": _actions_of(each)} for each in AnsweredBy},
}


Who = Annotated[AnsweredBy, _by_value(AnsweredBy)]
Action = Annotated[AnsweringAction, _by_value(AnsweringAction)]


class AnsweringOptions(BaseModel):
    """What to do about whoever answers. What is not given here is as the persona, then as the settings say."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    detect: bool | None = Field(
        default=None,
        description="Whether it is found out who answers; otherwise whoever answers is talked to at once. "
        "Default: true where anything of this group is given for the call, for its dialplan or by its persona.",
    )
    message: Annotated[str, Field(max_length=2000)] | None = Field(
        default=None,
        description="What is said to a voicemail: a text, in which `{name}` stands for the call's variable of that "
        "name, or `file:` and the path of a recording within `answering.messages`. Empty: nothing.",
    )
    screener: Annotated[str, Field(max_length=500)] | None = Field(
        default=None,
        description="Who calls and why, in one sentence, for call screeners; with variables too. Empty: the persona's "
        "greeting.",
    )
    actions: Annotated[dict[Who, Action], AfterValidator(_sensible)] = Field(
        default={},
        json_schema_extra=_ACTIONS_SCHEMA,
        description="What to do, by who has answered: `talk`, `message`, `hang_up`, `say_who_calls` (screener), "
        "`navigate` (ivr). Not given: human and unknown are talked to, a voicemail gets the message, a screener is "
        "told who calls, an ivr is navigated, and with mailbox_full, fax and silence the call ends.",
    )
    limit_s: Annotated[float, Field(ge=1, le=120)] | None = Field(
        default=None,
        description="Whoever has not been recognised this long after the answer is talked to. Default: 20.",
    )
    correct_for_s: Annotated[float, Field(ge=0, le=120)] | None = Field(
        default=None, description="How long after a person was recognised a machine is still noticed. Default: 20."
    )
    screener_limit_s: Annotated[float, Field(ge=5, le=600)] | None = Field(
        default=None, description="The longest wait for the person behind a screener. Default: 60."
    )
    menu_limit_s: Annotated[float, Field(ge=5, le=7200)] | None = Field(
        default=None, description="The longest stay in a menu or on hold. Default: 600."
    )

    def given(self) -> dict[str, Any]:
        """What is given, as JSON."""
        names = set(AnsweringOptions.model_fields)
        return self.model_dump(mode="json", include=names, exclude_unset=True, exclude_none=True)


class AnsweringSettings(AnsweringOptions):
    """Who answers calls that the gateway places; see docs/answering.md."""

    detect: bool = Field(
        default=False,
        description="Whether it is found out who answers a call for which neither order, dialplan nor persona say "
        "anything about it.",
    )
    messages: FilePath | None = Field(
        default=None, description="Folder of recordings (WAV) that may be left as messages. Default: none may."
    )
    wording: tuple[FilePath, ...] = Field(
        default=(), description="Files with more wording of greetings, screeners and menus; see docs/answering.md."
    )

    def given(self) -> dict[str, Any]:
        """As of any options; the path of a recording is whole. One that may not be left is left out."""
        options = super().given()
        if str(options.get("message", "")).startswith(RECORDING):
            try:
                options["message"] = f"{RECORDING}{self.recording(options['message'])}"
            except ValueError:
                del options["message"]
        return options

    def problem(self) -> str:
        """Why the files that it names cannot be used, as a sentence; empty: they can."""
        from telephony.media.answering.wording import WordingError  # reading settings does not load it

        try:
            if self.wording:
                self.words()
            if self.message is not None and self.message.startswith(RECORDING):
                self.recording(self.message)
        except (WordingError, ValueError) as error:
            return f"answering: {error}"
        return ""

    def words(self) -> Wording:
        """What is recognised in what is heard. Raises WordingError."""
        from telephony.media.answering.wording import load_wording  # reading settings does not load it

        return load_wording(self.wording)

    def recording(self, message: str) -> Path:
        """The file of a `file:` message. Raises ValueError for one that may not be left."""
        name = message.removeprefix(RECORDING)
        if self.messages is None:
            raise ValueError("recordings may not be left as messages: `answering.messages` names no folder")
        folder = self.messages.resolve()
        try:
            path = (folder / name).resolve()
            within = path.is_relative_to(folder) and path.is_file()
        except (OSError, ValueError):  # a name that is too long, or has a NUL
            within = False
        if not within:
            raise ValueError(f"there is no recording {name!r} in the folder of `answering.messages`")
        return path


def merged(below: Mapping[str, Any] | None, above: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """`above` over `below`, as JSON; None: neither says anything. `detect` is the upper one's alone: who gives anything
    asks for it."""
    if above is None:
        return None if below is None else dict(below)
    under = {name: value for name, value in (below or {}).items() if name != "detect"}
    actions = {**under.get("actions", {}), **above.get("actions", {})}
    return {**under, **above, **({"actions": actions} if actions else {})}
