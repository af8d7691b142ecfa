"""The edge's part of the settings of phones."""

from __future__ import annotations

from gateway.config.phones import PhonesSettings
from telephony.edge import Phone, Phones, Trunk
from telephony.sip.bindings import BindingPolicy
from telephony.sip.probing import ProbePolicy
from telephony.sip.srtp import Srtp

__all__ = ["edge_phones", "phones_trunk"]


def edge_phones(phones: PhonesSettings | None) -> Phones | None:
    """Raises SecretMissing."""
    if phones is None:
        return None
    users = {user.name: Phone(user.name, user.password.read(), tuple(map(str, user.allow))) for user in phones.users}
    policy = BindingPolicy(phones.shortest_s, phones.longest_s, phones.longest_s, phones.most_devices)
    every_s = phones.keep_alive_s
    probe = ProbePolicy(every_s=every_s, retry_s=min(3.0, every_s), answer_s=min(4.0, every_s), up_after=1)
    return Phones(phones.trunk, phones.realm, users, phones.anywhere, phones.digest, policy, probe)


def phones_trunk(phones: PhonesSettings | None) -> tuple[Trunk, ...]:
    """What their calls are of. Their own word about who they are does not count: the password says it."""
    if phones is None:
        return ()
    return (
        Trunk(
            phones.trunk, phones.media_sources, trust_identity=False, behind_nat=True, srtp=Srtp(phones.srtp),
            srtp_over_plain_sip=phones.srtp_over_plain_sip, takes_refer=bool(phones.transfers.refer),
            takes_replaces=bool(phones.transfers.replaces),
        ),
    )  # fmt: skip
