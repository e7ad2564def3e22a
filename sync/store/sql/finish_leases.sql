-- First statement of a finish with mixed outcomes: deletes leases that have nothing left, marks the jobs in the others,
-- and returns the jobs that may be acted on: of leases that are still ours, and not ended before (see finish_done.sql).
-- Parameters: worker; complete, partial (lease ids); per job: leases, ids (arrays). Index: primary key.
WITH complete AS (
  DELETE FROM job_lease WHERE id = ANY (%(complete)s::bigint[]) AND worker_id = %(worker)s RETURNING id, finished
), partial AS MATERIALIZED (
  SELECT id, finished FROM job_lease
  WHERE id = ANY (%(partial)s::bigint[]) AND worker_id = %(worker)s ORDER BY id FOR UPDATE
), fresh AS (
  SELECT e.lease_id, e.job_id
  FROM unnest(%(leases)s::bigint[], %(ids)s::bigint[]) AS e(lease_id, job_id)
  JOIN (SELECT * FROM complete UNION ALL SELECT * FROM partial) h ON h.id = e.lease_id
  WHERE NOT e.job_id = ANY (h.finished)
), marked AS (
  UPDATE job_lease l SET finished = l.finished || p.ids
  FROM (SELECT lease_id, array_agg(job_id) AS ids FROM fresh WHERE lease_id = ANY (%(partial)s::bigint[]) GROUP BY lease_id) p
  WHERE l.id = p.lease_id
)
SELECT lease_id, job_id FROM fresh
