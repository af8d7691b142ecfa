"""A scripted Admitter for tests around the edge."""

from __future__ import annotations

from collections.abc import Callable

from telephony.edge.protocol import Forward, GatewayStatus, InviteInfo, Later, Refuse

__all__ = ["FakeAdmitter"]


class FakeAdmitter:
    """Records the INVITEs that it is asked about, and answers with `decide`, or the same answer always."""

    def __init__(self, decide: Callable[[InviteInfo], Forward | Refuse] | Forward | Refuse) -> None:
        self.decide = decide
        self.later: list[str] = []  # the next calls are decided later, by these tokens
        self.invites: list[InviteInfo] = []
        self.gateway_status = GatewayStatus()

    def admit(self, invite: InviteInfo) -> Forward | Refuse | Later:
        self.invites.append(invite)
        return Later(self.later.pop(0)) if self.later else self._answer(invite)

    def admit_later(self, invite: InviteInfo, token: str) -> Forward | Refuse:
        return self._answer(invite)

    def _answer(self, invite: InviteInfo) -> Forward | Refuse:
        return self.decide(invite) if callable(self.decide) else self.decide

    def status(self) -> GatewayStatus:
        return self.gateway_status
