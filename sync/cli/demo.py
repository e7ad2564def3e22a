"""`syncctl up --demo`: an org named `demo` whose accounts are simulated, so that data flow without a vendor's account.

`demo.json` in the home marks it as that of a demo and says which world it has seen: the next start continues that one,
and integrations keep id, history and cursors. Simulated tokens do not outlive the simulator, so every start reconnects.
Real accounts and simulated ones exclude each other: the platforms of an installation are either here or there.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sync.base.errors import ConfigurationError, SyncError
from sync.base.settings import Settings
from sync.cli import mailbox
from sync.cli.home import Home
from sync.cli.simulated import Consent, Simulator, now, towards, vendors_of
from sync.cli.tokens import sign

if TYPE_CHECKING:
    import httpx

    from connectors.base import Connector
    from sync.pull.integrations import Integrations
    from sync.store.engine import Database

ORG = "demo"
_SEED = 7
_CALL_S = 30.0


@dataclass(frozen=True)
class Story:
    """What is known of the world of this home."""

    seed: int
    start: float


class Demo:
    """One run of the demo: simulator, settings that lead to it, accounts."""

    def __init__(self, home: Home, settings: Settings) -> None:
        from sync.pull.platforms import platforms

        self._home = home
        self._token = sign(ORG, "admin", "demo", hours=24 * 365, platform=True, settings=settings)
        self._connectors = platforms(settings)
        self._simulated = vendors_of(self._connectors)
        self._simulator: Simulator | None = None
        self._mailbox = mailbox.Mailbox(home.logs / "mailbox.log") if mailbox.available() else None
        self._consents: list[Consent] = []
        self._stale = False
        """Whether the accounts hold tokens of a simulator that is gone."""

    def start(self, settings: Settings) -> Settings:
        """Start the simulator; the settings that lead to it.

        Errors: SyncError; ConfigurationError where other orgs have accounts: their tokens are not for the simulator.
        """
        others = asyncio.run(_other_orgs(settings, self._simulated))
        if others:
            raise ConfigurationError(
                f"This installation has accounts of {', '.join(others)}, which would be looked for at the simulator. "
                f"Run the demo from a home of its own: SYNC_HOME={self._home.path}-demo syncctl up --demo"
            )
        story = _story(self._home)
        log = self._home.logs / "simulator.log"
        self._simulator = Simulator(
            log, vendors=self._simulated, seed=story.seed, start=story.start, hooks_to=settings.http.address
        )
        self._simulator.start()
        if self._mailbox is not None:
            self._mailbox.start()
        self._consents = [self._simulator.consent(vendor) for vendor in self._simulated]
        slots = max(settings.sync.slots, len(self._consents) + 1)
        return settings.model_copy(
            update={
                "connectors": towards(settings.connectors, self._consents),
                # Everything at once, so that nobody waits to see something.
                "sync": settings.sync.model_copy(update={"slots": slots}),
            }
        )

    def connect(self, api: str) -> dict[str, str]:
        """Connect every account through the API at `api`; what became of each platform."""
        import httpx

        found = {}
        headers = {"Authorization": f"Bearer {self._token}"}
        with httpx.Client(base_url=api, headers=headers, timeout=_CALL_S, trust_env=False) as client:
            for consent in self._consents:
                found[consent.platform] = _connected(client, _account(consent, self._connectors[consent.platform]))
            if self._mailbox is not None:
                found["email"] = _connected(client, _mail_account(self._mailbox))
            else:
                found["email"] = "skipped: no IMAP server here (pip install pymap)"
        for platform in self._connectors.keys() - found.keys():
            found[platform] = "skipped: not simulated"
        return dict(sorted(found.items()))

    def heal(self, api: str) -> bool:
        """Start again what ended; its accounts need new tokens then. What fails is tried again later."""
        if self._simulator is None:
            return False
        children = [child for child in (self._simulator, self._mailbox) if child is not None]
        if all(child.alive() for child in children) and not self._stale:
            return False
        self._stale = True
        try:
            for child in children:
                if not child.alive():
                    child.stop()
                    child.start()
            self._consents = [self._simulator.consent(vendor) for vendor in self._simulated]
            self.connect(api)
        except SyncError:
            return False
        self._stale = False
        return True

    @property
    def address(self) -> str:
        return self._simulator.base_url if self._simulator else ""

    def stop(self) -> None:
        for child in (self._simulator, self._mailbox):
            if child is not None:
                child.stop()


def rest(settings: Settings, home: Home) -> int:
    """Pause the accounts of a demo that does not run: their vendors are not there. How many were active."""
    return asyncio.run(_pause_all(settings)) if home.demo_file.exists() else 0


def _story(home: Home) -> Story:
    """That of this home, or a new one."""
    marker = home.demo_file
    try:
        said = json.loads(marker.read_text())
        return Story(int(said["seed"]), float(said["start"]))
    except FileNotFoundError:
        story = Story(_SEED, now())
        marker.write_text(json.dumps({"seed": story.seed, "start": story.start}))
        return story
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(f"{marker} cannot be read: remove it, and the demo begins a new world.") from error


def _account(consent: Consent, connector: Connector) -> dict[str, Any]:
    return {
        "platform": consent.platform,
        "account": consent.account,
        "label": consent.name,
        "credentials": consent.credentials(connector),
    }


def _mail_account(box: mailbox.Mailbox) -> dict[str, Any]:
    return {
        "platform": "email",
        "account": mailbox.ADDRESS,
        "label": mailbox.ADDRESS,
        "config": box.fields,
        "credentials": {"password": box.password},
    }


def _connected(client: httpx.Client, account: Mapping[str, Any]) -> str:
    """What became of it. Errors: SyncError when the API does not answer."""
    import httpx

    try:
        answer = client.post("/sync/integrations", json=account)
        if answer.is_success:
            return f"connected: {account['label']}"
        return f"skipped: {answer.json().get('detail', answer.status_code)}"
    except (httpx.HTTPError, ValueError) as error:
        raise SyncError(f"{account['platform']} could not be connected: {error}") from error


async def _other_orgs(settings: Settings, platforms: list[str]) -> list[str]:
    async with _integrations(settings) as (database, _):
        rows = await database.fetch_all(
            "SELECT DISTINCT org_id FROM integration WHERE org_id <> %s AND state <> 'deleted' AND platform = ANY(%s)",
            (ORG, platforms),
        )
    return [row["org_id"] for row in rows]


async def _pause_all(settings: Settings) -> int:
    async with _integrations(settings) as (_, integrations):
        active = [item for item in await integrations.list(ORG, limit=1000) if item.state == "active"]
        for item in active:
            await integrations.pause(ORG, item.id, by="syncctl", reason="The demo does not run: syncctl up --demo")
    return len(active)


@asynccontextmanager
async def _integrations(settings: Settings) -> AsyncIterator[tuple[Database, Integrations]]:
    from sync.base.sealing import Sealer
    from sync.pull.integrations import Integrations
    from sync.pull.platforms import platforms
    from sync.store.engine import Database
    from sync.wiring import database_url

    async with Database(database_url(settings), settings.store, application="syncctl", pool_size=1) as database:
        yield database, Integrations(database, Sealer(settings.secrets), platforms(settings))
