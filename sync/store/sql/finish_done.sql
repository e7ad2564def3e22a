-- Finish, for batches in which every job is done: writes the run log, marks the jobs in their leases and deletes the leases
-- that have nothing left. Only for leases that still belong to this worker, and jobs that nothing ended before: the same
-- results may come twice, and a job may have ended in its handler's transaction although the worker does not know it
-- (the answer to the commit was lost). Whether a lease has nothing left is not the worker's word either: a crash of the
-- server may have taken back marks that it wrote (synchronous_commit=off); such a lease stays and is found again.
-- Parameters: worker; held (lease ids); per job: leases, ids, durations, attempts, orgs, kinds (arrays). Index: primary key.
WITH held AS MATERIALIZED (
  SELECT id, queue_id, size, finished FROM job_lease
  WHERE id = ANY (%(held)s::bigint[]) AND worker_id = %(worker)s ORDER BY id FOR UPDATE
), fresh AS MATERIALIZED (
  SELECT e.*, h.queue_id
  FROM unnest(%(leases)s::bigint[], %(ids)s::bigint[], %(durations)s::int[], %(attempts)s::smallint[],
              %(orgs)s::text[], %(kinds)s::text[]) AS e(lease_id, job_id, duration_ms, attempt, org_id, kind)
  JOIN held h ON h.id = e.lease_id
  WHERE NOT e.job_id = ANY (h.finished)
), now_is AS MATERIALIZED (
  SELECT h.id, f.ids, h.size <= cardinality(h.finished) + coalesce(cardinality(f.ids), 0) AS empty
  FROM held h LEFT JOIN (SELECT lease_id, array_agg(job_id) AS ids FROM fresh GROUP BY lease_id) f ON f.lease_id = h.id
), gone AS (
  DELETE FROM job_lease l USING now_is n WHERE l.id = n.id AND n.empty
), marked AS (
  UPDATE job_lease l SET finished = l.finished || n.ids FROM now_is n WHERE l.id = n.id AND NOT n.empty AND n.ids IS NOT NULL
)
INSERT INTO job_run (job_id, worker_id, duration_ms, queue_id, attempt, outcome, org_id, kind)
SELECT job_id, %(worker)s, duration_ms, queue_id, attempt, 0, org_id, kind FROM fresh
