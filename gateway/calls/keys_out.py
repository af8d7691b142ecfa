"""Strings of keys to a call's legs: who they go to, by which way, and what became of them, which the record keeps. The
keys themselves are nowhere written down: they may be a card's number."""

from __future__ import annotations

import asyncio

import structlog

from gateway.calls.further_legs import FurtherLegs
from gateway.calls.journal import Journal
from gateway.calls.leg_owner import LegOwner
from gateway.calls.verbs import DigitsOrder
from telephony.call import Leg
from telephony.errors import DigitsNotSent, LegEndedError, TelephonyError
from telephony.keys import DigitSource, KnowsItsWays
from telephony.media.key_string import read_keys

__all__ = ["KeysOut"]

log = structlog.get_logger(__name__)

MEDIA_LIMIT_S = 3.0  # for the first packet of whoever has answered, before an extension is dialled


class KeysOut:
    def __init__(self, customer: LegOwner, further: FurtherLegs, journal: Journal) -> None:
        self._customer = customer
        self._further = further
        self._journal = journal
        self._loop = asyncio.get_running_loop()

    def check(self, order: DigitsOrder) -> DigitSource | None:
        """The way that it would go; None: the leg decides. Raises DigitsNotSent, TelephonyMisuse."""
        read_keys(order.digits)
        leg = self._leg(order.leg_id)
        return leg.key_way(order.way) if isinstance(leg, KnowsItsWays) else order.way

    async def send(self, order: DigitsOrder) -> None:
        """Returns once they have been sent. Raises TelephonyError, which the record has as well."""
        leg_id = order.leg_id or self._customer.leg_id
        try:
            way = self.check(order)
            leg = self._leg(order.leg_id)
            await leg.send_digits(order.digits, duration_ms=order.duration_ms, gap_ms=order.gap_ms, way=order.way)
        except TelephonyError as error:
            kind, status = (error.kind, error.sip_status) if isinstance(error, DigitsNotSent) else ("failed", 0)
            log.warning("digits_not_sent", leg_id=leg_id, kind=kind, error=str(error))
            told = {"leg_id": leg_id, "error": kind, "reason": str(error), "sip_status": status or None}
            self._journal.entry("digits_failed", self._loop.time(), **told)
            raise
        count = sum(isinstance(key, str) for key in read_keys(order.digits))
        self._journal.entry("digits_sent", self._loop.time(), leg_id=leg_id, way=way, count=count)

    async def dial_extension(self, digits: str, leg: LegOwner | None = None) -> None:
        """To whoever has answered (`leg` None: the customer's), before they hear anybody. Raises LegEndedError;
        everything else that fails is in the record, and the call goes on: somebody has answered."""
        owner = leg or self._customer
        if owner.watches_media:
            since_s = self._loop.time() - (owner.answered_at or 0.0)
            await owner.comes(owner.media, max(0.0, MEDIA_LIMIT_S - since_s))
        try:
            await self.send(DigitsOrder(digits, "" if leg is None else leg.leg_id))
        except LegEndedError:
            raise
        except TelephonyError:
            pass

    def _leg(self, leg_id: str) -> Leg:
        if leg_id in ("", self._customer.leg_id):
            return self._customer.leg
        leg = self._further.leg(leg_id)
        if leg is None:
            raise DigitsNotSent("unknown_leg", f"the call has no answered leg {leg_id}")
        return leg
