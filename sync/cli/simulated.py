"""The simulator of vendors as a child process, and what its accounts look like to us.

It ends with whoever started it: told to, or when the pipe to its standard input closes because that process is gone.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from connectors.base import Connector
from connectors.http import HttpConnector, Static
from sync.base.errors import SyncError
from sync.base.settings import AppSettings, ConnectorSettings

_START_S = 60.0
_STOP_S = 5.0
LIVE = 2.0
"""Things that happen per second, over all vendors."""


@dataclass(frozen=True)
class Consent:
    """What the simulator gives for one account: our app there, and the account's tokens."""

    platform: str
    account: str
    name: str
    url: str
    app: AppSettings
    values: Mapping[str, str]
    """By the names that connectors give to secret fields."""

    @classmethod
    def of(cls, answer: Mapping[str, Any], base_url: str) -> Consent:
        expires_at = answer["expires_at"]
        values = {
            **{name: value for name, value in answer["facts"].items() if isinstance(value, str)},
            **answer["secrets"],
            "access_token": answer["access_token"],
            "refresh_token": answer["refresh_token"],
            "expires_at": str(int(expires_at)) if expires_at else None,
            "scope": " ".join(answer["scopes"]),
        }
        app = AppSettings(
            client_id=answer["client_id"],
            client_secret=SecretStr(answer["client_secret"]),
            secrets={name: SecretStr(value) for name, value in answer["secrets"].items()},
        )
        return cls(
            platform=answer["platform"],
            account=answer["account_id"],
            name=answer["name"],
            url=base_url + answer["base_path"],
            app=app,
            values={name: value for name, value in values.items() if value},
        )

    def credentials(self, connector: Connector) -> dict[str, str]:
        """Those that this connector asks for."""
        values = dict(self.values)
        if isinstance(connector, HttpConnector) and isinstance(connector.auth, Static):
            values[connector.auth.field] = values["access_token"]
        wanted = [item.name for item in connector.fields if item.secret]
        return {name: values[name] for name in wanted if name in values}


def towards(settings: ConnectorSettings, consents: Iterable[Consent]) -> ConnectorSettings:
    """The settings of somebody whose apps are registered at the simulator, and who believes that it is the vendors."""
    given = {consent.platform: consent for consent in consents}
    elsewhere = {name: url for name, url in settings.base_urls.items() if name.partition(".")[0] not in given}
    return settings.model_copy(
        update={
            "apps": {**settings.apps, **{name: consent.app for name, consent in given.items()}},
            "base_urls": {**elsewhere, **{name: consent.url for name, consent in given.items()}},
        }
    )


def vendors_of(platforms: Iterable[str]) -> list[str]:
    """Those of these platforms that are simulated."""
    from simulator.vendors import VENDORS

    return [platform for platform in platforms if platform in VENDORS]


class Simulator:
    def __init__(self, log: Path, *, vendors: Iterable[str], seed: int, start: float, hooks_to: str = "") -> None:
        """`hooks_to`: the address of the API that gets the vendors' webhooks."""
        self.base_url = ""
        self._log = log
        self._options = ["--vendors", ",".join(vendors), "--seed", str(seed), "--start", str(start)]
        if hooks_to:
            self._options += ["--sync-url", hooks_to]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """On a free port; again on the one it had before. Errors: SyncError with the place of its log."""
        port = self.base_url.rpartition(":")[2] or "0"
        options = [*self._options, "--port", port, "--live", str(LIVE), "--scale", "demo", "--tethered"]
        with self._log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "simulator", *options],
                cwd=Path(__file__).parents[2],  # found also where it runs from a source tree
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,  # Ctrl-C in the terminal is for us; we end it when nobody needs it any more
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline().decode().strip()
        if not line.startswith("http://"):
            self.stop()
            raise SyncError(f"The simulator of vendors did not start: see {self._log}")
        self.base_url = line

    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def consent(self, vendor: str) -> Consent:
        """As after a person agreed at the vendor's page. Errors: SyncError."""
        import httpx

        try:
            answer = httpx.post(f"{self.base_url}/_control/{vendor}/connect", json={}, timeout=_START_S)
            answer.raise_for_status()
        except httpx.HTTPError as error:
            raise SyncError(f"The simulated {vendor} gave no credentials: {error}") from error
        return Consent.of(answer.json(), self.base_url)

    def stop(self) -> None:
        if self._process is None:
            return
        process, self._process = self._process, None
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def now() -> float:
    """The start of a new world: full seconds, so that it can be written down."""
    return float(int(time.time()))
