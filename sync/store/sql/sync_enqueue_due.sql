-- Queue a run for every stream whose time has come, and move its time on. Database clock.
-- Parameters: limit. Index: sync_stream_due. Two callers at once share the work.
-- A stream whose last run is still open gets no second one; its time moves on all the same.
WITH due AS (
  SELECT s.integration_id, s.sync_type, s.every, i.org_id, i.platform
  FROM sync_stream s JOIN integration i ON i.id = s.integration_id
  WHERE s.next_due_at <= now() AND i.state = 'active' AND s.blocked_reason IS NULL
  ORDER BY s.next_due_at
  LIMIT %(limit)s
  FOR UPDATE OF s SKIP LOCKED
), moved AS (
  UPDATE sync_stream s SET next_due_at = sync_next_due(s.integration_id, s.sync_type, s.every)
  FROM due WHERE s.integration_id = due.integration_id AND s.sync_type = due.sync_type
)
INSERT INTO sync_run (org_id, platform, integration_id, sync_type, trigger, requested_by)
SELECT org_id, platform, integration_id, sync_type, 'schedule', 'schedule' FROM due
ON CONFLICT (integration_id, sync_type, (trigger = 'backfill')) WHERE state IN ('queued', 'running') DO NOTHING
RETURNING org_id, platform
