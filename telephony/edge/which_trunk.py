"""Which of the trunks at an address a new call belongs to: by digest user, registered user, called number and domain.
Pure.

An address alone does not tell two trunks of one carrier apart, nor two PBXs behind one proxy.
"""

from __future__ import annotations

from collections.abc import Sequence

from telephony.edge.settings import Trunk
from telephony.sip.digest import DigestError, read_parameters
from telephony.sip.parse import Request
from telephony.sip.uri import Uri, phone_user, try_uri

__all__ = ["which_trunk"]


def which_trunk(request: Request, trunks: Sequence[Trunk]) -> Trunk | None:
    """The best matching trunk, the first among equals; None: none takes this call. `trunks`: those at its source
    address. The credentials are verified afterwards."""
    best: Trunk | None = None
    best_fit: tuple[bool, bool, int, bool] | None = None
    user = _credentials_user(request)
    for trunk in trunks:
        fit = _fit(trunk, request, user)
        if fit is not None and (best_fit is None or fit > best_fit):
            best, best_fit = trunk, fit
    return best


def _fit(trunk: Trunk, request: Request, user: str) -> tuple[bool, bool, int, bool] | None:
    """The criteria that match, the strongest first; None: not this trunk's call."""
    recipient = try_uri(request.recipient.uri)
    registered = trunk.register is not None and request.uri.user == trunk.register.user
    named_user = bool(user) and trunk.callers is not None and user in trunk.callers
    number = 0
    if trunk.numbers:
        called = _called(trunk, request.uri, recipient)
        beginnings = [each.lstrip("+") for each in trunk.numbers]
        fitting = [len(each) for each in beginnings if called.startswith(each)]
        if not fitting:
            return None
        number = max(fitting)
    if trunk.domains and not _hosts(request.uri, recipient) & trunk.domains:
        return None
    return named_user, registered, number, bool(trunk.domains)


def _called(trunk: Trunk, uri: Uri, recipient: Uri | None) -> str:
    to = phone_user(recipient) if recipient is not None and trunk.called_from == "to" else ""
    return (to or phone_user(uri)).lstrip("+")


def _hosts(uri: Uri, recipient: Uri | None) -> set[str]:
    return {each.host.lower() for each in (uri, recipient) if each is not None}


def _credentials_user(request: Request) -> str:
    given = request.value("authorization")
    if not given:
        return ""
    try:
        return read_parameters(given).get("username", "")
    except DigestError:
        return ""
