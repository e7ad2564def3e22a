-- Queue a run for each chosen stream, or find the one that is open already.
-- Parameters: integrations, sync_types (parallel arrays), trigger, options, requested_by.
-- A run that finishes between the two halves is found by neither: the caller asks again for the missing ones.
WITH wanted AS (
  SELECT i.id AS integration_id, i.org_id, i.platform, w.sync_type
  FROM unnest(%(integrations)s::bigint[], %(sync_types)s::text[]) AS w (integration_id, sync_type)
  JOIN integration i ON i.id = w.integration_id
), added AS (
  INSERT INTO sync_run (org_id, platform, integration_id, sync_type, trigger, options, requested_by)
  SELECT org_id, platform, integration_id, sync_type, %(trigger)s, %(options)s, %(requested_by)s FROM wanted
  ORDER BY integration_id, sync_type
  ON CONFLICT (integration_id, sync_type, (trigger = 'backfill')) WHERE state IN ('queued', 'running') DO NOTHING
  RETURNING id, org_id, integration_id, platform, sync_type, trigger
)
SELECT id, org_id, integration_id, platform, sync_type, trigger, true AS created FROM added
UNION ALL
SELECT r.id, r.org_id, r.integration_id, r.platform, r.sync_type, r.trigger, false
FROM wanted w JOIN sync_run r USING (integration_id, sync_type)
WHERE r.state IN ('queued', 'running') AND (r.trigger = 'backfill') = (%(trigger)s = 'backfill')
