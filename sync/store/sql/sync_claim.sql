-- Start the runs of one (org, platform) that may start now, live ones before backfills.
-- Parameters: org_id, platform, epoch, holder, node, running (ids this worker has already), limit.
-- The caller has fenced its lease in this transaction. Index: sync_run_open.
-- A run left in 'running' by an earlier epoch is taken over: its worker cannot write any more.
WITH pick AS (
  SELECT r.id
  FROM sync_run r JOIN integration i ON i.id = r.integration_id
  WHERE r.org_id = %(org_id)s AND r.platform = %(platform)s AND NOT r.cancel_requested AND i.state = 'active'
    AND ((r.state = 'queued' AND r.not_before <= now()) OR (r.state = 'running' AND r.epoch < %(epoch)s))
    AND r.id <> ALL (%(running)s::bigint[])
  ORDER BY (r.trigger = 'backfill'), r.not_before, r.id
  LIMIT %(limit)s
  FOR UPDATE OF r SKIP LOCKED
), started AS (
  UPDATE sync_run r
  SET state = 'running', epoch = %(epoch)s, holder = %(holder)s, node = %(node)s, attempt = r.attempt + 1,
      fruitless = r.fruitless + 1, started_at = coalesce(r.started_at, now())
  FROM pick WHERE r.id = pick.id
  RETURNING r.*
)
SELECT r.id, r.org_id, r.platform, r.integration_id, i.account, r.sync_type, r.trigger, r.attempt, r.fruitless, r.epoch,
       r.options, i.config, i.credentials, i.credentials_version, i.facts,
       CASE WHEN r.trigger = 'backfill' THEN r.backfill_cursor ELSE s.cursor END AS cursor,
       s.cursor_version, s.failures AS stream_failures
FROM started r
JOIN integration i ON i.id = r.integration_id
JOIN sync_stream s ON s.integration_id = r.integration_id AND s.sync_type = r.sync_type
ORDER BY (r.trigger = 'backfill'), r.id
