-- Keys and cancel requests of jobs that ended for good. Parameters: per job: queues, orgs, unique_keys, ids (arrays).
-- Index: primary keys.
WITH keys AS (
  DELETE FROM job_unique u USING unnest(%(queues)s::smallint[], %(orgs)s::text[], %(unique_keys)s::text[], %(ids)s::bigint[])
    AS e(queue_id, org_id, key, job_id)
  WHERE u.queue_id = e.queue_id AND u.org_id = e.org_id AND u.key = e.key AND u.job_id = e.job_id
)
DELETE FROM job_cancel WHERE job_id = ANY (%(ids)s::bigint[])
