"""Subscribes the app to pages and Instagram accounts, and every Page to the app.

Source: developers.facebook.com/docs/graph-api/webhooks/subscriptions-edge and reference/page/subscribed_apps.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING

from connectors.http import Context, Partition, Request
from sync.base.errors import ConfigurationError

if TYPE_CHECKING:
    from connectors.http.api import Api

FIELDS = {"page": "feed,mention,messages,message_echoes", "instagram": "comments,mentions,messages"}
Pages = Callable[["Api", Context], AsyncIterator[Partition]]


def registration(pages: Pages, version: str) -> Callable[[Api, str], Awaitable[None]]:
    """`pages`: those of the account, with their tokens."""

    async def register(api: Api, address: str) -> None:
        app = api.account.installation
        verify_token = app.secrets.get("verify_token", "")
        if not verify_token:
            raise ConfigurationError("Facebook needs a verify_token, of your choice, to prove its webhooks' address.")
        for kind, fields in FIELDS.items():
            form = {"object": kind, "callback_url": address, "fields": fields, "verify_token": verify_token}
            own = f"{app.client_id}|{app.client_secret}"
            path = f"{version}/{app.client_id}/subscriptions"
            await api.call(Request("POST", path, form=form, endpoint="subscriptions", token=own))
        async for page in pages(api, api.context()):
            path, token = f"{version}/{page.vars['id']}/subscribed_apps", page.vars["token"]
            form = {"subscribed_fields": FIELDS["page"]}
            await api.call(Request("POST", path, form=form, endpoint="subscribed_apps", token=token))

    return register
