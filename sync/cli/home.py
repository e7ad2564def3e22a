"""The directory of one installation (SYNC_HOME): secrets, logs, the lock of `syncctl up` and what it says about itself.

postgres/            data of the embedded server (only when SYNC_STORE__URL is not set)
secrets/             made at the first start, readable by their owner alone; keep them with the data
  jwt_secret           signs and checks tokens, unless SYNC_AUTH__* names another way
  sealing_key          seals stored credentials, unless SYNC_SECRETS__KEYS does
  ray_token            opens the Ray dashboard and everything else of the cluster
logs/                postgres.log, driver.log, up.log (of a detached start), ray -> logs of the last cluster
demo.json            that this is the home of a demo, and which one (see `sync.cli.demo`)
up.lock up.json      held and written by the running `syncctl up`
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, TypeVar

from pydantic import BaseModel

from sync.base.errors import ConfigurationError
from sync.base.files import private_directory, private_file
from sync.base.settings import Settings

LOCAL_KEY = "local"
M = TypeVar("M", bound=BaseModel)


@dataclass
class UpState:
    """What the running `syncctl up` tells the other commands."""

    pid: int
    state: str
    """starting, ready, or stopping."""
    step: str = ""
    since: str = ""
    store: str = ""
    """`embedded` or `external`."""
    addresses: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    """How long each step of the start took."""
    demo: dict[str, str] = field(default_factory=dict)
    """What became of each platform, by its name; empty without --demo."""


class Home:
    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.secrets = self.path / "secrets"
        self.logs = self.path / "logs"
        self.ray_token_file = self.secrets / "ray_token"
        self.demo_file = self.path / "demo.json"
        self._lock_file = self.path / "up.lock"
        self._state_file = self.path / "up.json"

    @property
    def run_directory(self) -> Path:
        """For sockets and what Ray writes. Not below `path`: the names of Unix sockets may be 107 bytes long."""
        digest = hashlib.sha256(str(self.path).encode()).hexdigest()[:8]
        return Path("/tmp") / f"sync-{os.geteuid()}-{digest}"  # noqa: S108  (`up` makes it private)

    def prepare(self) -> None:
        """Make the directories and secrets. Errors: ConfigurationError."""
        for directory in (self.path, self.secrets, self.logs):
            private_directory(directory)
        private_file(self.ray_token_file, lambda: secrets.token_hex(32))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the installation. Errors: ConfigurationError when another `syncctl up` has it."""
        private_directory(self.path)
        lock = self._lock_file.open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise ConfigurationError(
                f"Sync already runs from {self.path} (process {self.owner() or 'unknown'}): see `syncctl status`, stop "
                "it with `syncctl down`, or set SYNC_HOME to another directory and SYNC_HTTP__PORT to another port."
            ) from None
        try:
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            yield
        finally:
            self._state_file.unlink(missing_ok=True)
            lock.truncate(0)
            lock.close()

    def owner(self) -> int | None:
        """Process id of the running `syncctl up`; None when none runs, however the last one ended."""
        try:
            lock: IO[str] = self._lock_file.open("r")
        except OSError:
            return None
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(lock.read().strip() or 0) or None
        return None

    def link_ray_logs(self, logs: Path) -> None:
        link = self.logs / "ray"
        link.unlink(missing_ok=True)
        link.symlink_to(logs)

    def write_state(self, state: UpState) -> None:
        draft = self._state_file.with_suffix(".new")
        draft.write_text(json.dumps(asdict(state), indent=1))
        draft.replace(self._state_file)

    def read_state(self) -> UpState | None:
        """None when no `syncctl up` runs."""
        owner = self.owner()
        if owner is None:
            return None
        try:
            state = UpState(**json.loads(self._state_file.read_text()))
        except (OSError, ValueError, TypeError):
            return UpState(owner, "starting")
        return state if state.pid == owner else UpState(owner, "starting")


def local_settings(settings: Settings, home: Home) -> Settings:
    """The same settings, completed with the secrets of this installation where none are configured."""
    changes: dict[str, object] = {"home": home.path}
    auth = settings.auth
    if auth.secret is None and auth.jwks_url is None and auth.jwks_file is None:
        secret = private_file(home.secrets / "jwt_secret", lambda: secrets.token_urlsafe(48))
        changes["auth"] = _with(auth, secret=secret)
    if not settings.secrets.keys:
        key = private_file(home.secrets / "sealing_key", lambda: base64.b64encode(secrets.token_bytes(32)).decode())
        changes["secrets"] = _with(settings.secrets, keys={LOCAL_KEY: key}, current=LOCAL_KEY)
    return settings.model_copy(update=changes)


def with_store(settings: Settings, url: str) -> Settings:
    return settings.model_copy(update={"store": _with(settings.store, url=url)})


def _with(model: M, **changes: object) -> M:
    """A validated copy: `model_copy` alone would keep a plain string where a secret belongs."""
    kept = {name: getattr(model, name) for name in type(model).model_fields}
    return type(model).model_validate(kept | changes)
