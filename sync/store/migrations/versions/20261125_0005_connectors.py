"""What HTTP platforms need: parts of sync types, activities, metrics, rate budgets, token renewal."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

SCHEMA = r"""
-- What the vendor told about the account when we last asked: our own ids there, its time zone.
ALTER TABLE integration ADD COLUMN facts jsonb NOT NULL DEFAULT '{}';
-- Counts token renewals. A renewal is stored only if nobody stored another meanwhile; reconnects change
-- credentials_version instead.
ALTER TABLE integration ADD COLUMN renewals int NOT NULL DEFAULT 0;

-- Who renews an account's token now; the others wait for what comes of it.
CREATE TABLE token_lease (
  integration_id bigint PRIMARY KEY REFERENCES integration ON DELETE CASCADE,
  holder text NOT NULL,
  expires_at timestamptz NOT NULL
);

-- Cursors of the parts of a sync type: channels, pages, ad accounts. Only the holder of the lease writes them.
CREATE TABLE sync_partition (
  integration_id bigint NOT NULL REFERENCES integration ON DELETE CASCADE,
  sync_type text NOT NULL,
  run_id bigint NOT NULL DEFAULT 0,         -- 0: the live cursor; else that of a backfill
  partition text COLLATE "C" NOT NULL,
  cursor jsonb NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (integration_id, sync_type, run_id, partition)
) WITH (fillfactor = 70);

-- The social activity store: posts, comments, messages, mentions, reactions, and what is so now (presence, profile).
CREATE TABLE activity (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  org_id text COLLATE "C" NOT NULL,
  integration_id bigint NOT NULL REFERENCES integration,
  platform text NOT NULL,
  kind text NOT NULL,
  vendor_id text COLLATE "C" NOT NULL,
  parent_id text COLLATE "C",               -- vendor_id of what it answers
  thread_id text COLLATE "C",               -- what belongs to one conversation
  place text COLLATE "C",                   -- channel, page, board, subreddit
  author_id text,
  author_name text,
  author_handle text,
  author_url text,
  direction text NOT NULL,                  -- in, out, echo
  occurred_at timestamptz NOT NULL,
  edited_at timestamptz,
  deleted_at timestamptz,
  title text,
  text text,
  permalink text,
  attachments jsonb,
  counters jsonb,                           -- likes, replies, views when last seen
  data jsonb,
  version bigint NOT NULL,                  -- the vendor's, growing; an older one never replaces a newer one
  content_hash bytea NOT NULL,              -- 8 bytes of the content, 8 of the counters
  raw json,                                 -- as the vendor sent it
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT activity_once UNIQUE (integration_id, kind, vendor_id)
);
CREATE INDEX activity_feed ON activity (org_id, occurred_at DESC, id DESC);
CREATE INDEX activity_thread ON activity (integration_id, thread_id) WHERE thread_id IS NOT NULL;

-- Items that could not be read; kept until somebody looked.
CREATE TABLE activity_quarantine (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  org_id text COLLATE "C" NOT NULL,
  integration_id bigint NOT NULL REFERENCES integration ON DELETE CASCADE,
  sync_type text NOT NULL,
  place text,
  error text NOT NULL,
  raw json,
  raw_hash bytea NOT NULL,
  count int NOT NULL DEFAULT 1,
  first_at timestamptz NOT NULL DEFAULT now(),
  last_at timestamptz NOT NULL DEFAULT now(),
  resolved_at timestamptz,
  CONSTRAINT activity_quarantine_once UNIQUE (integration_id, sync_type, raw_hash)
);
CREATE INDEX activity_quarantine_org ON activity_quarantine (org_id, id) WHERE resolved_at IS NULL;

-- One number about one entity over one half-open window. Restated in place.
CREATE TABLE metric_point (
  integration_id bigint NOT NULL REFERENCES integration,
  entity_kind text COLLATE "C" NOT NULL,
  entity text COLLATE "C" NOT NULL,
  metric text COLLATE "C" NOT NULL,
  starts_at timestamptz NOT NULL,
  ends_at timestamptz NOT NULL,
  dimensions text COLLATE "C" NOT NULL,     -- canonical JSON of a breakdown; empty for none
  org_id text COLLATE "C" NOT NULL,
  platform text NOT NULL,
  place text,                               -- ad account, page, channel
  parent text,                              -- the entity above: the campaign of an ad
  value numeric,                            -- exact; money in units of currency; NULL: no number yet
  currency text,
  is_final boolean NOT NULL,                -- the vendor will not restate it
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (integration_id, entity_kind, entity, metric, starts_at, ends_at, dimensions)
);
CREATE INDEX metric_point_changed ON metric_point (org_id, updated_at);

-- Rate budgets: calls of the last window by slots of a hundredth of it, and until when nobody may call.
CREATE TABLE rate_bucket (
  key text COLLATE "C" PRIMARY KEY,
  slots bigint[] NOT NULL DEFAULT '{}',
  counts int[] NOT NULL DEFAULT '{}',
  blocked_until timestamptz NOT NULL DEFAULT '-infinity',
  used_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

-- Take from every bucket, or from none. Returns the longest wait and its bucket when it took nothing.
-- A slot counts until a whole window (and a little for jitter on the way) has passed since its end, so no span of a
-- window's length at the vendor ever holds more calls than the limit. Database clock.
CREATE FUNCTION sync_budget_take(keys text[], limits int[], windows double precision[], costs int[])
RETURNS TABLE (seconds double precision, bucket text) LANGUAGE plpgsql AS $$
DECLARE
  now_s double precision;
  width double precision;
  keep bigint;
  this_slot bigint;
  found record;
  used int;
  kept_slots bigint[];
  kept_counts int[];
  wait double precision;
  freed int;
  until_slot bigint;
  new_slots text[] := '{}';
  new_counts text[] := '{}';
BEGIN
  PERFORM set_config('synchronous_commit', 'off', true);
  -- A bucket without a limit has a row only once it was blocked.
  INSERT INTO rate_bucket (key) SELECT k FROM unnest(keys, limits) AS c (k, l)
  WHERE l > 0 AND NOT EXISTS (SELECT FROM rate_bucket b WHERE b.key = k) ORDER BY k ON CONFLICT DO NOTHING;
  -- One order for everybody, so that two takers cannot lock each other out.
  PERFORM FROM rate_bucket b WHERE b.key = ANY (keys) ORDER BY b.key FOR UPDATE;
  now_s := extract(epoch FROM clock_timestamp());
  seconds := 0;
  FOR i IN 1 .. cardinality(keys) LOOP
    SELECT b.slots, b.counts, extract(epoch FROM b.blocked_until) AS blocked_s INTO found
    FROM rate_bucket b WHERE b.key = keys[i];
    wait := greatest(coalesce(found.blocked_s, 0) - now_s, 0);
    kept_slots := '{}'; kept_counts := '{}'; used := 0;
    IF limits[i] > 0 THEN
      width := windows[i] / 100;
      keep := 101 + ceil(least(greatest(windows[i] * 0.005, 0.03), 0.5) / width);
      this_slot := floor(now_s / width);
      FOR j IN 1 .. cardinality(found.slots) LOOP
        IF found.slots[j] > this_slot - keep AND found.slots[j] <= this_slot THEN
          kept_slots := kept_slots || found.slots[j];
          kept_counts := kept_counts || found.counts[j];
          used := used + found.counts[j];
        END IF;
      END LOOP;
      IF used + costs[i] > limits[i] AND used > 0 THEN
        freed := 0;
        FOR j IN 1 .. cardinality(kept_slots) LOOP
          freed := freed + kept_counts[j];
          until_slot := kept_slots[j] + keep;
          EXIT WHEN used - freed + costs[i] <= limits[i];
        END LOOP;
        wait := greatest(wait, until_slot * width - now_s);
      END IF;
      IF cardinality(kept_slots) > 0 AND kept_slots[cardinality(kept_slots)] = this_slot THEN
        kept_counts[cardinality(kept_counts)] := kept_counts[cardinality(kept_counts)] + costs[i];
      ELSE
        kept_slots := kept_slots || this_slot;
        kept_counts := kept_counts || costs[i];
      END IF;
    END IF;
    new_slots := new_slots || kept_slots::text;
    new_counts := new_counts || kept_counts::text;
    IF wait > seconds THEN
      seconds := wait;
      bucket := keys[i];
    END IF;
  END LOOP;
  IF seconds > 0 THEN
    RETURN NEXT;
    RETURN;
  END IF;
  FOR i IN 1 .. cardinality(keys) LOOP
    IF limits[i] > 0 THEN
      UPDATE rate_bucket b SET slots = new_slots[i]::bigint[], counts = new_counts[i]::int[], used_at = now()
      WHERE b.key = keys[i];
    END IF;
  END LOOP;
END
$$;
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(SCHEMA.replace("%", "%%"))
