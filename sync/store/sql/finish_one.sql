-- "This job ended", inside the handler's own transaction, with its line in the run log and its unique key released.
-- Parameters: lease, worker, job, duration_ms, attempt, org, kind, unique_key. Index: primary keys.
-- No row: the lease was rescued or the job already ended; the caller rolls back.
WITH held AS (
  UPDATE job_lease SET finished = finished || %(job)s::bigint
  WHERE id = %(lease)s AND worker_id = %(worker)s AND NOT %(job)s::bigint = ANY (finished)
  RETURNING queue_id
), released AS (
  DELETE FROM job_unique u USING held
  WHERE u.queue_id = held.queue_id AND u.org_id = %(org)s AND u.key = %(unique_key)s AND u.job_id = %(job)s
)
INSERT INTO job_run (job_id, worker_id, duration_ms, queue_id, attempt, outcome, org_id, kind)
SELECT %(job)s, %(worker)s, %(duration_ms)s, queue_id, %(attempt)s, 0, %(org)s, %(kind)s FROM held
