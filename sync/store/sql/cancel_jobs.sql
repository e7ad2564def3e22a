-- Operator: jobs that have not started are cancelled here; running ones get a request that their worker reads.
-- A job that a claim or a promotion moves just now is waited for and then in neither result: look again.
-- Parameters: ids (array), org (NULL: any), orgs (to look for in job), by. Indexes: job_pick, job_reentered, primary keys.
WITH waiting AS (
  DELETE FROM job WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM job WHERE job_id = ANY (%(ids)s::bigint[]) AND (%(org)s::text IS NULL OR org_id = %(org)s) FOR UPDATE))
  RETURNING job_id AS id, queue_id, attempt, org_id, kind, unique_key
), first_time AS (
  DELETE FROM job WHERE ctid = ANY (ARRAY(
    SELECT j.ctid FROM queue q CROSS JOIN unnest(%(orgs)s::text[]) AS o(org_id) CROSS JOIN generate_series(0, 7) AS l(lane)
    JOIN job j ON j.queue_id = q.id AND j.org_id = o.org_id AND j.lane = l.lane AND j.seq = ANY (%(ids)s::bigint[])
    WHERE j.job_id IS NULL FOR UPDATE OF j))
  RETURNING seq AS id, queue_id, attempt, org_id, kind, unique_key
), scheduled AS (
  DELETE FROM job_scheduled WHERE job_id = ANY (%(ids)s::bigint[]) AND (%(org)s::text IS NULL OR org_id = %(org)s)
  RETURNING job_id AS id, queue_id, attempt, org_id, kind, unique_key
), gone AS (
  SELECT * FROM waiting UNION ALL SELECT * FROM first_time UNION ALL SELECT * FROM scheduled
), keys AS (
  DELETE FROM job_unique u USING gone g WHERE u.queue_id = g.queue_id AND u.org_id = g.org_id AND u.key = g.unique_key AND u.job_id = g.id
), logged AS (
  INSERT INTO job_run (job_id, duration_ms, queue_id, attempt, outcome, org_id, kind, error)
  SELECT id, 0, queue_id, attempt, 3, org_id, kind, json_build_object('message', 'cancelled by ' || %(by)s::text) FROM gone
), running AS (
  SELECT DISTINCT (e->>0)::bigint AS id FROM job_lease l CROSS JOIN LATERAL json_array_elements(l.jobs::json) e
  WHERE (e->>0)::bigint = ANY (%(ids)s::bigint[]) AND (%(org)s::text IS NULL OR e->>7 = %(org)s)
    AND NOT (e->>0)::bigint = ANY (l.finished)
), requested AS (
  INSERT INTO job_cancel (job_id, requested_by) SELECT id, %(by)s FROM running ON CONFLICT DO NOTHING
)
SELECT id, 'cancelled' AS result FROM gone UNION ALL SELECT id, 'requested' FROM running
