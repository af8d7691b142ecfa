"""Settings of calls that we place, for all trunks together."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["OutboundSettings", "RouteSettings"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class RouteSettings(_Section):
    """Numbers and the trunks that calls to them go over. The route with the longest beginning of the number counts."""

    numbers: tuple[Annotated[str, Field(pattern=r"^\+?[0-9]*$")], ...] = Field(
        min_length=1, description='Beginnings of numbers, such as `"+44"`; `"+"`: all others.'
    )
    trunks: tuple[str, ...] = Field(
        min_length=1,
        description="Names of trunks, in the order to try them. Each must allow the number (`destinations`).",
    )
    weights: tuple[Annotated[int, Field(ge=0, le=1000)], ...] = Field(
        default=(),
        description="Shares of the first trunks of the list: `[3, 1]` begins three quarters of the calls with the "
        "first. The others follow in their order. Not given: the order is as written.",
    )


class OutboundSettings(_Section):
    """Calls that the gateway places."""

    routes: tuple[RouteSettings, ...] = Field(
        default=(),
        description="Which trunks a call without `trunk` goes over. A number without a route: all trunks "
        "whose `destinations` allow it, in the order of the settings.",
    )
