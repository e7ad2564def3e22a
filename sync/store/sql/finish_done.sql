-- Finish, for batches in which every job is done. Deletes leases that have nothing left, marks the jobs in the others,
-- and writes the run log, all only for leases that still belong to this worker and jobs that nothing ended before:
-- the same results may come twice, and a job may have ended in its handler's transaction although the worker does
-- not know it (the answer to the commit was lost).
-- Parameters: worker; complete, partial (lease ids); per job: leases, ids, durations, attempts, orgs, kinds (arrays).
-- Index: primary key.
WITH complete AS (
  DELETE FROM job_lease WHERE id = ANY (%(complete)s::bigint[]) AND worker_id = %(worker)s RETURNING id, queue_id, finished
), partial AS MATERIALIZED (
  SELECT id, queue_id, finished FROM job_lease
  WHERE id = ANY (%(partial)s::bigint[]) AND worker_id = %(worker)s ORDER BY id FOR UPDATE
), fresh AS (
  SELECT e.*, h.queue_id
  FROM unnest(%(leases)s::bigint[], %(ids)s::bigint[], %(durations)s::int[], %(attempts)s::smallint[],
              %(orgs)s::text[], %(kinds)s::text[]) AS e(lease_id, job_id, duration_ms, attempt, org_id, kind)
  JOIN (SELECT * FROM complete UNION ALL SELECT * FROM partial) h ON h.id = e.lease_id
  WHERE NOT e.job_id = ANY (h.finished)
), marked AS (
  UPDATE job_lease l SET finished = l.finished || p.ids
  FROM (SELECT lease_id, array_agg(job_id) AS ids FROM fresh WHERE lease_id = ANY (%(partial)s::bigint[]) GROUP BY lease_id) p
  WHERE l.id = p.lease_id
)
INSERT INTO job_run (job_id, worker_id, duration_ms, queue_id, attempt, outcome, org_id, kind)
SELECT job_id, %(worker)s, duration_ms, queue_id, attempt, 0, org_id, kind FROM fresh
