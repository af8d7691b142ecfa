"""The API's paths for campaigns and do-not-call lists."""

from __future__ import annotations

from gateway.api import campaigns
from gateway.api.route import Route
from gateway.campaigns.admin import CampaignRecord
from gateway.campaigns.order import CampaignOrder

__all__ = ["CAMPAIGN_ROUTES"]

_NONE = {404: "There is no such campaign."}
_STATE = _NONE | {409: "Not in the campaign's present state."}
_BODY = {413: "The body is larger than 64 KiB.", 415: "The body is not JSON."}
_CHECKED = {422: "Its persona or one of its rule sets is not known, or it contradicts itself."}
_ONE = "/v1/campaigns/{campaign_id}"
_RECORD = {"application/json": CampaignRecord}
_VERBS = (
    ("start", campaigns.start, "Begin, or begin again, to call"),
    ("pause", campaigns.pause, "No new calls until it is resumed"),
    ("resume", campaigns.resume, "Go on after a pause"),
    ("finish", campaigns.finish, "No new calls; those that are live end by themselves"),
    ("stop", campaigns.stop, "No new calls, and hang up those that are live"),
)

CAMPAIGN_ROUTES = (
    Route(
        path="/v1/campaigns",
        handler=campaigns.campaigns,
        summary="Campaigns, newest first",
        answers={"application/json": campaigns.CampaignList},
    ),
    Route(
        path="/v1/campaigns",
        method="POST",
        handler=campaigns.create,
        summary="Create a campaign; it calls nobody before it is started",
        body=CampaignOrder,
        answers=_RECORD,
        status=201,
        errors=_BODY | _CHECKED,
    ),
    Route(
        path=_ONE, handler=campaigns.campaign, summary="One campaign with its figures", answers=_RECORD, errors=_NONE
    ),
    Route(
        path=_ONE,
        method="DELETE",
        handler=campaigns.delete,
        summary="Delete a campaign that does not run, with its contacts and attempts",
        answers=_RECORD,
        errors=_STATE,
    ),
    *(
        Route(
            path=f"{_ONE}/{verb}",
            method="POST",
            handler=handler,
            summary=summary,
            answers=_RECORD,
            errors=_STATE | (_CHECKED if verb in ("start", "resume") else {}),
        )
        for verb, handler, summary in _VERBS
    ),
    Route(
        path=f"{_ONE}/contacts",
        handler=campaigns.contacts,
        summary="The people of a campaign, with what is planned for each",
        query=campaigns.RowsQuery,
        answers={"application/json": campaigns.ContactList},
        errors=_NONE,
    ),
    Route(
        path=f"{_ONE}/contacts",
        method="POST",
        handler=campaigns.add_contacts,
        summary="Add people; those that cannot be called are refused one by one",
        body=campaigns.ContactsRequest,
        answers={"application/json": campaigns.ContactsAdded},
        errors=_NONE | _BODY,
    ),
    Route(
        path=f"{_ONE}/contacts/{{key}}",
        method="DELETE",
        handler=campaigns.forget,
        summary="Forget a person: contact, attempts and decisions",
        answers={"application/json": campaigns.ContactsAdded},
        errors={404: "There is no such campaign, or it has no such contact."},
    ),
    Route(
        path=f"{_ONE}/attempts",
        handler=campaigns.attempts,
        summary="Calls of a campaign, with what became of them",
        query=campaigns.RowsQuery,
        answers={"application/json": campaigns.AttemptList},
        errors=_NONE,
    ),
    Route(
        path=f"{_ONE}/results",
        handler=campaigns.results,
        summary="The same as CSV, whole",
        answers={"text/csv": None},
        errors=_NONE,
    ),
    Route(
        path="/v1/do-not-call",
        handler=campaigns.listed,
        summary="Numbers that are not called",
        query=campaigns.RowsQuery,
        answers={"application/json": campaigns.DoNotCallList},
    ),
    Route(
        path="/v1/do-not-call",
        method="POST",
        handler=campaigns.keep_off,
        summary="Put numbers on a list of those that are not called; effective at once",
        body=campaigns.DoNotCallRequest,
        answers={"application/json": campaigns.ContactsAdded},
        errors=_BODY,
    ),
    Route(
        path="/v1/do-not-call/{number}",
        method="DELETE",
        handler=campaigns.take_off,
        summary="Take a number off a list",
        query=campaigns.TakeOffQuery,
        answers={"application/json": campaigns.ContactsAdded},
        errors={404: "It is not on that list."},
    ),
    Route(
        path="/v1/decisions/{number}",
        handler=campaigns.decisions,
        summary="Each decision to call a number or not, and its rule: the evidence",
        answers={"application/json": campaigns.DecisionList},
    ),
)
