-- Where one job is now; at most one row (a finished one only if it is nowhere else). Parameters: org, job.
-- Indexes: job_pick (the id is the seq of a job that never re-entered), job_reentered, primary keys, job_run_org.
SELECT * FROM (
  SELECT 1 AS rank, coalesce(j.job_id, j.seq) AS id, j.org_id, j.kind, j.queue_id, 'waiting' AS state, j.lane, j.attempt, j.max_attempts,
         j.crashes, j.enqueued_at, NULL::timestamptz AS run_at, NULL::timestamptz AS finished_at, j.args::text AS args, j.unique_key, j.meta,
         NULL::text AS error_class
  FROM queue q CROSS JOIN generate_series(0, 7) AS l(lane)
  JOIN job j ON j.queue_id = q.id AND j.org_id = %(org)s AND j.lane = l.lane AND j.seq = %(job)s
  WHERE j.job_id IS NULL
  UNION ALL
  SELECT 1, job_id, org_id, kind, queue_id, 'waiting', lane, attempt, max_attempts, crashes, enqueued_at, NULL, NULL, args::text, unique_key, meta, NULL
  FROM job WHERE job_id = %(job)s AND org_id = %(org)s
  UNION ALL
  SELECT 2, job_id, org_id, kind, queue_id, CASE reason WHEN 'retry' THEN 'retrying' ELSE 'scheduled' END, lane, attempt, max_attempts,
         crashes, enqueued_at, run_at, NULL, args::text, unique_key, meta, NULL
  FROM job_scheduled WHERE job_id = %(job)s AND org_id = %(org)s
  UNION ALL
  SELECT 3, (e->>0)::bigint, e->>7, e->>8, l.queue_id, 'running', (e->>2)::smallint, (e->>3)::smallint, (e->>4)::smallint, (e->>5)::smallint,
         to_timestamp((e->>6)::float8), NULL, NULL, e->>11, e->>9, CASE json_typeof(e->10) WHEN 'object' THEN e->10 END, NULL
  FROM job_lease l CROSS JOIN LATERAL json_array_elements(l.jobs::json) e
  WHERE (e->>0)::bigint = %(job)s AND e->>7 = %(org)s AND NOT %(job)s = ANY (l.finished)
  UNION ALL
  SELECT 4, job_id, org_id, kind, queue_id, 'dead', lane, attempt, max_attempts, crashes, enqueued_at, NULL, died_at, args::text, unique_key, meta,
         error_class
  FROM job_dead WHERE job_id = %(job)s AND org_id = %(org)s
  UNION ALL
  SELECT 5, job_id, org_id, kind, queue_id, CASE outcome WHEN 0 THEN 'done' WHEN 3 THEN 'cancelled' ELSE 'discarded' END,
         NULL, attempt, NULL, NULL, NULL, NULL, finished_at, NULL, NULL, NULL, NULL
  FROM job_run WHERE job_id = %(job)s AND org_id = %(org)s AND outcome IN (0, 3, 7)
) x ORDER BY rank LIMIT 1
