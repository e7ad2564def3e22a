"""Connecting an account by consent at the vendor: begin with a token, come back in a browser without one."""

from __future__ import annotations

from datetime import datetime
from html import escape
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from pydantic import Field

from sync.api.auth import Admin
from sync.api.routes.integrations import IntegrationView
from sync.api.schemas import Answer, Body, example
from sync.api.services import Use
from sync.base.errors import ApiError
from sync.pull.oauth import CALLBACK

router = APIRouter(prefix="/sync/connect", tags=["integrations"])

_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",  # the address holds the code
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}


class StartConsent(Body):
    model_config = example({"label": "Our page"})

    label: str | None = Field(default=None, max_length=200, description="Absent: what the vendor calls the account.")
    config: dict[str, Any] = Field(default_factory=dict, description="Fields of the platform that are not secret.")
    credentials: dict[str, str] = Field(
        default_factory=dict, description="Secret fields that the consent does not bring. Sealed, never returned."
    )
    sync_types: list[str] | None = Field(
        default=None,
        min_length=1,
        max_length=20,
        description="Ask for what these need alone, where our app may not ask for everything. Absent: for everything.",
    )


class ConsentView(Answer):
    model_config = example(
        {
            "platform": "slack",
            "authorizeUrl": "https://slack.com/oauth/v2/authorize?client_id=…&state=…",
            "redirectUri": "https://sync.acme.test/sync/connect/callback",
            "expiresAt": "2027-05-01T09:10:00Z",
        }
    )

    platform: str
    authorize_url: str = Field(description="Open it in a browser. It is good for one consent.")
    redirect_uri: str = Field(description="Where the vendor sends the person back to: register it with your app there.")
    expires_at: datetime


@router.post("/{platform}", status_code=201, summary="Begin a consent", openapi_extra={"x-problems": ["refused"]})
async def begin_consent(
    platform: Annotated[str, Path(max_length=32)], principal: Admin, services: Use, body: StartConsent | None = None
) -> ConsentView:
    """For platforms with OAuth. The account is connected when the person comes back from `authorizeUrl`."""
    asked = body or StartConsent()
    work = services.consents.begin(
        principal.org_id,
        platform,
        by=principal.subject,
        label=asked.label,
        config=asked.config,
        credentials=asked.credentials,
        sync_types=asked.sync_types,
        operator=principal.runs_install,
    )
    return ConsentView.model_validate(await services.units.run(work))


@router.get(CALLBACK.removeprefix(router.prefix), include_in_schema=False)
async def finish_consent(
    request: Request,
    services: Use,
    state: Annotated[str, Query(max_length=200)] = "",
    code: Annotated[str | None, Query(max_length=4096)] = None,
    auth_code: Annotated[str | None, Query(max_length=4096)] = None,
    error: Annotated[str | None, Query(max_length=500)] = None,
) -> Response:
    """Where vendors send people back to. The state says who began; nothing else of the request is trusted."""
    people = "text/html" in request.headers.get("accept", "")
    try:
        integration = await services.units.run(services.consents.finish(state, code or auth_code, error))
    except ApiError as problem:
        if not people:
            raise
        return _page(problem.title, problem.detail or "", status=problem.status)
    services.nudger.sync(integration.org_id, integration.platform)
    if people:
        name = integration.label or integration.account
        return _page("Connected", f"{name} is connected. Its first sync has begun; you can close this page.")
    view = IntegrationView.of(integration)
    return JSONResponse(view.model_dump(mode="json", by_alias=True), headers=_HEADERS)


def _page(title: str, text: str, *, status: int = 200) -> HTMLResponse:
    body = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><h1>{escape(title)}</h1><p>{escape(text)}</p></html>"
    )
    return HTMLResponse(body, status, headers=_HEADERS)
