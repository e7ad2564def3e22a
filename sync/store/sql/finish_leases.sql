-- First statement of a finish with mixed outcomes: marks the jobs in their leases, deletes the leases that have nothing
-- left, and returns the jobs that may be acted on (see finish_done.sql for what that means).
-- Parameters: worker; held (lease ids); per job: leases, ids (arrays). Index: primary key.
WITH held AS MATERIALIZED (
  SELECT id, size, finished FROM job_lease
  WHERE id = ANY (%(held)s::bigint[]) AND worker_id = %(worker)s ORDER BY id FOR UPDATE
), fresh AS MATERIALIZED (
  SELECT e.lease_id, e.job_id
  FROM unnest(%(leases)s::bigint[], %(ids)s::bigint[]) AS e(lease_id, job_id)
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
SELECT lease_id, job_id FROM fresh
