-- First statement of a finish with mixed outcomes: the leases that are still ours, and which jobs of them may be acted on.
-- Parameters: worker; complete (lease ids); per job: leases, ids (arrays). Index: primary key.
WITH complete AS (
  DELETE FROM job_lease WHERE id = ANY (%(complete)s::bigint[]) AND worker_id = %(worker)s RETURNING id
), partial AS (
  UPDATE job_lease l SET finished = l.finished || p.ids
  FROM (SELECT lease_id, array_agg(job_id) AS ids
        FROM unnest(%(leases)s::bigint[], %(ids)s::bigint[]) AS e(lease_id, job_id)
        WHERE NOT lease_id = ANY (%(complete)s::bigint[]) GROUP BY lease_id) p
  WHERE l.id = p.lease_id AND l.worker_id = %(worker)s
  RETURNING l.id
)
SELECT id FROM complete UNION ALL SELECT id FROM partial
