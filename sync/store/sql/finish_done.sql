-- Finish, for batches in which every job is done. Deletes leases that have nothing left, marks the jobs in the others,
-- and writes the run log, all only for leases that still belong to this worker.
-- Parameters: worker; complete (lease ids); per job: leases, ids, durations, attempts, orgs, kinds (arrays). Index: primary key.
WITH complete AS (
  DELETE FROM job_lease WHERE id = ANY (%(complete)s::bigint[]) AND worker_id = %(worker)s RETURNING id, queue_id
), ended AS (
  SELECT * FROM unnest(%(leases)s::bigint[], %(ids)s::bigint[], %(durations)s::int[], %(attempts)s::smallint[],
                       %(orgs)s::text[], %(kinds)s::text[]) AS e(lease_id, job_id, duration_ms, attempt, org_id, kind)
), partial AS (
  UPDATE job_lease l SET finished = l.finished || p.ids
  FROM (SELECT lease_id, array_agg(job_id) AS ids FROM ended
        WHERE NOT lease_id = ANY (%(complete)s::bigint[]) GROUP BY lease_id) p
  WHERE l.id = p.lease_id AND l.worker_id = %(worker)s
  RETURNING l.id, l.queue_id
), held AS (
  SELECT id, queue_id FROM complete UNION ALL SELECT id, queue_id FROM partial
)
INSERT INTO job_run (job_id, worker_id, duration_ms, queue_id, attempt, outcome, org_id, kind)
SELECT e.job_id, %(worker)s, e.duration_ms, h.queue_id, e.attempt, 0, e.org_id, e.kind
FROM ended e JOIN held h ON h.id = e.lease_id
