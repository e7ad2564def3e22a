"""Webhooks as they came in, before anything is made of them."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

SCHEMA = r"""
-- A verified call of a vendor, stored before it is acknowledged.
CREATE TABLE webhook_delivery (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  dedup_key bytea NOT NULL,                 -- over platform, address, the vendor's delivery id and the body
  platform text COLLATE "C" NOT NULL,
  integration_id bigint,                    -- named by the address that was called; it may be gone
  received_at timestamptz NOT NULL DEFAULT now(),
  headers json NOT NULL,                    -- only what reading the body needs, never a signature
  query json NOT NULL,
  body bytea NOT NULL,
  state text NOT NULL DEFAULT 'stored' CHECK (state IN ('stored', 'applied', 'partial', 'unmatched', 'ignored', 'failed')),
  attempts smallint NOT NULL DEFAULT 0,
  next_at timestamptz DEFAULT now(),        -- NULL: nothing left to do
  applied_at timestamptz,
  error text,
  CONSTRAINT webhook_delivery_once UNIQUE (dedup_key)
);
CREATE INDEX webhook_delivery_due ON webhook_delivery (next_at, id) WHERE next_at IS NOT NULL;
CREATE INDEX webhook_delivery_received ON webhook_delivery USING brin (received_at) WITH (pages_per_range = 32);

-- What a delivery told, once per account of ours that it concerned.
CREATE TABLE webhook_event (
  delivery_id bigint NOT NULL REFERENCES webhook_delivery ON DELETE CASCADE,
  number int NOT NULL,                      -- its place in the delivery
  org_id text COLLATE "C",                  -- NULL: nobody holds that account
  integration_id bigint,
  account text COLLATE "C" NOT NULL,        -- as the vendor names it
  key text COLLATE "C" NOT NULL,            -- the vendor's: the same again is a duplicate
  outcome text NOT NULL CHECK (outcome IN ('applied', 'duplicate', 'early', 'inactive', 'unknown')),
  records int NOT NULL DEFAULT 0,
  added int NOT NULL DEFAULT 0,
  changed int NOT NULL DEFAULT 0,
  dirty text[] NOT NULL DEFAULT '{}',
  CONSTRAINT webhook_event_once UNIQUE NULLS NOT DISTINCT (delivery_id, number, integration_id)
);
CREATE INDEX webhook_event_org ON webhook_event (org_id, delivery_id) WHERE org_id IS NOT NULL;
CREATE INDEX webhook_event_key ON webhook_event (integration_id, key) WHERE outcome = 'applied';

-- Sync types that webhooks call out of date: pulled as soon as no run of theirs is under way, but not all the time.
CREATE TABLE webhook_pull (
  integration_id bigint NOT NULL REFERENCES integration ON DELETE CASCADE,
  sync_type text NOT NULL,
  dirty_at timestamptz,                     -- NULL: nothing since the last pull
  pulled_at timestamptz,                    -- when a webhook last made a run
  PRIMARY KEY (integration_id, sync_type)
) WITH (fillfactor = 50);
CREATE INDEX webhook_pull_dirty ON webhook_pull (dirty_at) WHERE dirty_at IS NOT NULL;

-- Where a vendor was told to send an account's webhooks, and when it is told again.
CREATE TABLE webhook_registration (
  integration_id bigint PRIMARY KEY REFERENCES integration ON DELETE CASCADE,
  url text NOT NULL,
  credentials_version int NOT NULL,
  registered_at timestamptz,                -- NULL: not yet
  next_at timestamptz NOT NULL,
  failures int NOT NULL DEFAULT 0,          -- in a row
  error text
);

-- Who holds a vendor's account: what the vendor itself told, never the name that somebody gave at connecting.
CREATE INDEX integration_vendor_account ON integration (platform, (facts ->> 'account'));
CREATE INDEX integration_places ON integration USING gin ((facts -> 'places'));
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(SCHEMA.replace("%", "%%"))
