"""Every setting, one small frozen model per concern.

`load_settings()` reads the environment (prefix `SYNC_`, delimiter `__`: `SYNC_STORE__URL`) once, at the edge of a
process; everything below gets the finished object passed in. A Ray worker has its node's environment, not the
driver's, so settings travel as arguments of actors and never through the environment. Secrets that must not travel
in plain arguments are read from files by path (`*_file`).
"""

from __future__ import annotations

from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

Seconds = Annotated[float, Field(gt=0)]


class _Frozen(BaseModel):
    # Actors get settings pickled and check nothing: they need no validators, whose making takes a tenth of their start.
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class StoreSettings(_Frozen):
    """PostgreSQL. Without `url` the embedded server under `home` is used."""

    url: SecretStr | None = None
    pool_size: int = Field(default=8, ge=1, le=200)
    connect_timeout_s: Seconds = 10
    statement_timeout_s: Seconds = 60
    prepare: bool = True
    """Off for PgBouncer older than 1.21 in transaction mode, which cannot carry prepared statements."""
    direct_url: SecretStr | None = None
    """A connection string that bypasses PgBouncer, for LISTEN. Without it and with `listen` off we poll."""
    listen: bool = True


class RedisSettings(_Frozen):
    """Redis carries hints and counts rate budgets, nothing else. Without `url`, PostgreSQL does both."""

    url: SecretStr | None = None
    prefix: str = "sync"


class HttpSettings(_Frozen):
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=1, le=65535)
    replicas: int = Field(default=1, ge=1)
    max_body_bytes: int = 1_000_000

    @property
    def address(self) -> str:
        """Where a program on this machine finds the API."""
        return f"http://{'127.0.0.1' if self.host in {'0.0.0.0', '::'} else self.host}:{self.port}"


class RealtimeSettings(_Frozen):
    """Live events on `/ws` and `/sse`. Limits are those of one serving process."""

    max_connections: int = Field(default=2500, ge=1)
    max_per_org: int = Field(default=1000, ge=1)
    buffer_messages: int = Field(default=1000, ge=16)
    """What may wait for one client; one that has more waiting is dropped."""
    buffer_bytes: int = Field(default=1_000_000, ge=65_536)
    replay_limit: int = Field(default=10_000, ge=1)
    """Events of its org that a client may have missed; beyond, it has to read anew what it shows."""
    poll_s: Seconds = 3.0
    """At the latest; the signal that events were committed wakes it at once."""
    heartbeat_s: Seconds = 25.0
    auth_timeout_s: Seconds = 5.0
    send_timeout_s: Seconds = 30.0
    max_message_bytes: int = Field(default=16_384, ge=1024)
    messages_per_minute: int = Field(default=120, ge=1)
    """That a client may send."""


class AuthSettings(_Frozen):
    """How tokens are checked: HS256 with `secret`, or RS256 with `jwks_url` or `jwks_file`."""

    secret: SecretStr | None = None
    jwks_url: str | None = None
    jwks_file: Path | None = None
    issuer: str | None = None
    audience: str | None = None
    leeway_s: float = Field(default=30, ge=0, le=300)
    require_platform: bool | None = None
    """Whether pausing, resuming and purging whole queues needs the claim `platform: true` (docs/decisions/0003)."""

    @property
    def platform_claim_required(self) -> bool:
        """Unless said otherwise: yes where an identity provider issues tokens, no where we hold the only secret."""
        if self.require_platform is not None:
            return self.require_platform
        return self.jwks_url is not None or self.jwks_file is not None

    @model_validator(mode="after")
    def _one_key_source(self) -> AuthSettings:
        if self.jwks_url and self.jwks_file:
            raise ValueError("Set SYNC_AUTH__JWKS_URL or SYNC_AUTH__JWKS_FILE, not both.")
        return self


class SecretsSettings(_Frozen):
    """Keys that seal credentials at rest: `{key id: base64 of 32 bytes}`; `current` seals, all open."""

    keys: dict[str, SecretStr] = Field(default_factory=dict)
    current: str | None = None

    @model_validator(mode="after")
    def _current_exists(self) -> SecretsSettings:
        if self.current is not None and self.current not in self.keys:
            raise ValueError("SYNC_SECRETS__CURRENT must name one of SYNC_SECRETS__KEYS.")
        return self


class QueueSettings(_Frozen):
    """Times of the queue protocol (see the docstring of `sync.jobs`)."""

    poll_s: Seconds = 1.0
    heartbeat_s: Seconds = 2.0
    worker_timeout_s: Seconds = 10.0
    """A worker silent for this long is dead and its leases are rescued."""
    rescue_every_s: Seconds = 2.0
    drain_timeout_s: Seconds = 30.0
    max_claim: int = Field(default=1000, ge=1, le=5000)
    history_days: int = Field(default=14, ge=1)
    max_waiting: int = Field(default=5_000_000, ge=1)
    """Back-pressure: enqueueing through the HTTP API is refused (429) above this many waiting jobs in one queue."""
    idempotency_ttl: timedelta = timedelta(hours=24)

    @model_validator(mode="after")
    def _timeout_covers_beats(self) -> QueueSettings:
        if self.worker_timeout_s < 3 * self.heartbeat_s:
            raise ValueError("SYNC_QUEUE__WORKER_TIMEOUT_S must be at least three SYNC_QUEUE__HEARTBEAT_S.")
        return self


class PoolSettings(_Frozen):
    """Bounds of one actor pool and how many jobs a member runs at a time."""

    min: int = Field(default=1, ge=0)
    max: int = Field(default=2, ge=1)
    concurrency: int = Field(default=64, ge=1, le=2000)
    target_lag_s: Seconds = 5.0

    @model_validator(mode="after")
    def _ordered(self) -> PoolSettings:
        if self.min > self.max:
            raise ValueError("A pool's MIN must not exceed its MAX.")
        return self


class SyncSettings(_Frozen):
    """Vendor syncs: lease times and how many run at once on one node."""

    slots: int = Field(default=8, ge=1)
    concurrency: int = Field(default=8, ge=1)
    """Runs at a time in one sync actor. Each holds some pages: those being stored, and about as many fetched ahead."""
    shared_pages: int = Field(default=10, ge=1, le=50)
    """Pages that may share a transaction when they come faster than they are stored."""
    lease_ttl_s: Seconds = 30.0
    idle_exit_s: Seconds = 120.0
    max_attempts: int = Field(default=8, ge=1)
    run_timeout_s: Seconds = 3600.0
    page_timeout_s: Seconds = 120.0


class SupervisorSettings(_Frozen):
    """How often the supervisor looks, and how patient it is."""

    members_every_s: Seconds = 2.0
    schedulers_every_s: Seconds = 5.0
    syncs_every_s: Seconds = 2.0
    """At the latest; the signal that a run was queued wakes it at once."""
    recover_every_s: Seconds = 5.0
    ping_every_s: Seconds = 10.0
    ping_timeout_s: Seconds = 3.0
    ping_failures: int = Field(default=3, ge=1)
    """Missed pings in a row after which an actor is killed and its name freed."""
    shrink_after_s: Seconds = 60.0
    burst: int = Field(default=4, ge=0)
    """Sync actors created beyond the free slots, so that an autoscaler sees the demand."""
    ready_limit: int = Field(default=200, ge=1)
    watchdog_s: Seconds = 30.0
    """A process whose event loop stands still for this long ends itself."""


class RaySettings(_Frozen):
    """The local cluster that `syncctl up` starts."""

    address: str | None = None
    """A running cluster. `syncctl up` joins none and refuses to start while this is set."""
    dashboard_port: int = Field(default=8265, ge=0, le=65535)
    num_cpus: float = Field(default=8, gt=0)
    """Logical CPUs offered to actors; pool members ask for fractions."""
    object_store_mb: int = Field(default=80, ge=80)
    temp_dir: Path | None = None
    min_free_mb: int = Field(default=1200, ge=0)
    """`syncctl up` refuses to start with less free memory: idle it needs about this much (docs/deployment.md)."""


class OutboundSettings(_Frozen):
    """Calls to addresses that users give us (see `sync.base.outbound`)."""

    allow: str = ""
    """Networks that may be called although they are private, at any port: `10.1.0.0/16,127.0.0.1/32`."""
    ports: str = "80,443,8080,8443"
    """Ports that may be called everywhere else."""
    connect_timeout_s: Seconds = 5.0
    max_response_bytes: int = Field(default=65_536, ge=0, le=10_000_000)
    ca_file: Path | None = None
    """Certificate authorities to trust instead of the usual ones."""

    @field_validator("allow")
    @classmethod
    def _networks(cls, value: str) -> str:
        for network in filter(None, (part.strip() for part in value.split(","))):
            ip_network(network)
        return value

    @field_validator("ports")
    @classmethod
    def _port_numbers(cls, value: str) -> str:
        if not all(part.strip().isdecimal() and 1 <= int(part) <= 65535 for part in value.split(",")):
            raise ValueError("SYNC_OUTBOUND__PORTS is a list of port numbers such as '80,443'.")
        return value


class EventSettings(_Frozen):
    """The consumer of the event log (see the docstring of `sync.subscriptions`)."""

    poll_s: Seconds = 1.0
    """How often an idle consumer looks by itself: wake-ups may be lost, and watched tables send none."""
    batch: int = Field(default=500, ge=1, le=5000)
    handler_timeout_s: Seconds = 30
    """A batch that takes longer is rolled back and tried in halves."""
    attempts: int = Field(default=8, ge=1, le=100)
    """Failures of one event, with growing pauses, until it is parked."""
    workers: int = Field(default=4, ge=1, le=50)
    """Subscriptions that one member serves at the same time."""
    webhooks: int = Field(default=256, ge=1, le=2000)
    """Webhooks under way in one member."""
    per_webhook: int = Field(default=4, ge=1, le=100)
    """Of those, for one subscription: a slow endpoint takes places from itself only."""


class RetentionSettings(_Frozen):
    """How long what is over is kept, in days. The queue's own history: SYNC_QUEUE__HISTORY_DAYS."""

    sync_run_days: int = Field(default=90, ge=1)
    event_days: int = Field(default=30, ge=1)
    unread_event_days: int = Field(default=90, ge=1)
    """Events that some subscriber has not read stay longer than others, but no longer than this."""
    tick_days: int = Field(default=14, ge=1)
    alert_days: int = Field(default=90, ge=1)
    audit_days: int = Field(default=400, ge=1)
    quarantine_days: int = Field(default=90, ge=1)
    """Items of platforms that could not be read, since they last came."""
    webhook_days: int = Field(default=14, ge=4)
    """Deliveries of webhooks. A vendor's retry after this long would be taken for news; TikTok tries 3 days."""
    partition_days: int = Field(default=400, ge=30)
    """Cursors of posts and channels where nothing happens any more; one that comes back is read from its start."""


class AppSettings(_Frozen):
    """Our app at one platform: `SYNC_CONNECTORS__APPS__SLACK__CLIENT_ID`."""

    client_id: str = ""
    client_secret: SecretStr = SecretStr("")
    secrets: dict[str, SecretStr] = Field(default_factory=dict)
    """What else it comes with: signing_secret, verify_token, bot_token."""


class ConnectorSettings(_Frozen):
    """The platforms as this installation uses them."""

    apps: dict[str, AppSettings] = Field(default_factory=dict)
    base_urls: dict[str, str] = Field(default_factory=dict)
    """Where a platform is, if not where its vendor has it: `{"slack": "http://127.0.0.1:9999/slack"}`.

    `"twitter.ads"` is the host that its connector calls ads; `"twitter"` every other one.
    """
    limits: dict[str, int] = Field(default_factory=dict)
    """Other rate limits than the connector declares, by `platform.budget`: `{"slack.tier3": 100}`; 0 for none."""
    callback_url: str | None = None
    """Where vendors send people back to after consent; by default below the address of the API."""


class WebhookSettings(_Frozen):
    """Webhooks of vendors. Their secrets are those of the apps: SYNC_CONNECTORS__APPS__<SLUG>__SECRETS."""

    public_url: str | None = None
    """Where vendors reach this installation: `https://sync.acme.test`. With it, Sync registers itself where it can."""
    max_body_bytes: int = Field(default=1_000_000, ge=1_000, le=20_000_000)
    body_timeout_s: Seconds = 10.0
    per_source: int = Field(default=5_000, ge=1)
    """Calls a second that one replica takes from one address; more are answered 429."""
    patience_s: Seconds = 2.5
    """How long a call may wait for its row to be durable; then it is answered 503 and the vendor sends it again."""
    pull_gap_s: Seconds = 10.0
    """Least pause between two pulls of one sync type that webhooks ask for."""
    early_s: Seconds = 30.0
    """A deletion of something that is not here yet is tried again after this time, and doubled, for an hour or so."""


class Settings(_Frozen):
    home: Path = Path("var")
    log_level: str = "INFO"
    log_json: bool = True
    store: StoreSettings = Field(default_factory=StoreSettings)
    redis: RedisSettings = Field(default_factory=RedisSettings)
    http: HttpSettings = Field(default_factory=HttpSettings)
    realtime: RealtimeSettings = Field(default_factory=RealtimeSettings)
    auth: AuthSettings = Field(default_factory=AuthSettings)
    secrets: SecretsSettings = Field(default_factory=SecretsSettings)
    queue: QueueSettings = Field(default_factory=QueueSettings)
    pools: dict[str, PoolSettings] = Field(default_factory=dict)
    """Overrides by pool name, as in `SYNC_POOLS='{"one-off": {"max": 8}}'`."""
    plugins: tuple[str, ...] = ()
    """Modules with job kinds and connectors of this installation (see `sync.plugins`)."""
    sync: SyncSettings = Field(default_factory=SyncSettings)
    supervisor: SupervisorSettings = Field(default_factory=SupervisorSettings)
    ray: RaySettings = Field(default_factory=RaySettings)
    outbound: OutboundSettings = Field(default_factory=OutboundSettings)
    events: EventSettings = Field(default_factory=EventSettings)
    retention: RetentionSettings = Field(default_factory=RetentionSettings)
    connectors: ConnectorSettings = Field(default_factory=ConnectorSettings)
    webhooks: WebhookSettings = Field(default_factory=WebhookSettings)

    def pool(self, name: str) -> PoolSettings:
        return self.pools.get(name, PoolSettings())


def load_settings() -> Settings:
    """Read the environment. Errors: pydantic's ValidationError, which names every wrong variable."""
    from pydantic_settings import BaseSettings, SettingsConfigDict

    class _Environment(Settings, BaseSettings):
        model_config = SettingsConfigDict(env_prefix="SYNC_", env_nested_delimiter="__", frozen=True, extra="ignore")

    loaded = _Environment()
    return Settings.model_construct(**{name: getattr(loaded, name) for name in Settings.model_fields})
