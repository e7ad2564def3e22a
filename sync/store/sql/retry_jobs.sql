-- Operator: dead or not-yet-due jobs run now, with all their attempts again; their errors stay with them. A job whose unique key
-- another job holds by now is left where it is. Parameters: ids (array), orgs (array or NULL: any org). Index: primary keys.
WITH taken AS (
  SELECT job_id, queue_id, org_id, unique_key, 'dead' AS source FROM job_dead
  WHERE job_id = ANY (%(ids)s::bigint[]) AND (%(org)s::text IS NULL OR org_id = %(org)s) FOR UPDATE SKIP LOCKED
), keyed AS (
  INSERT INTO job_unique (queue_id, org_id, key, job_id)
  SELECT queue_id, org_id, unique_key, job_id FROM taken WHERE unique_key IS NOT NULL ORDER BY job_id
  ON CONFLICT DO NOTHING RETURNING job_id
), dead AS (
  DELETE FROM job_dead d USING taken t
  WHERE d.job_id = t.job_id AND (t.unique_key IS NULL OR t.job_id IN (SELECT job_id FROM keyed))
  RETURNING d.job_id, d.queue_id, d.lane, d.max_attempts, d.enqueued_at, d.org_id, d.kind, d.args, d.unique_key, d.meta
), early AS (
  DELETE FROM job_scheduled WHERE job_id IN (
    SELECT job_id FROM job_scheduled
    WHERE job_id = ANY (%(ids)s::bigint[]) AND (%(org)s::text IS NULL OR org_id = %(org)s) FOR UPDATE SKIP LOCKED)
  RETURNING job_id, queue_id, lane, max_attempts, enqueued_at, org_id, kind, args, unique_key, meta
), back AS (
  INSERT INTO job (job_id, queue_id, lane, attempt, max_attempts, enqueued_at, org_id, kind, args, unique_key, meta)
  SELECT job_id, queue_id, lane, 0, max_attempts, enqueued_at, org_id, kind, args, unique_key, meta
  FROM (SELECT * FROM dead UNION ALL SELECT * FROM early) x
  RETURNING job_id, queue_id, lane, org_id
)
SELECT b.job_id, b.queue_id, b.lane, b.org_id, q.pool FROM back b JOIN queue q ON q.id = b.queue_id
