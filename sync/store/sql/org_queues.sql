-- What every queue holds of one org. Counts stop at `cap`. last_success_at looks at the org's last 1,000 attempts.
-- Parameters: org, cap. Indexes: job_pick, job_scheduled_org, job_dead_org, job_run_org; job_lease is small.
WITH later AS (
  SELECT queue_id, count(*) AS jobs
  FROM (SELECT queue_id FROM job_scheduled WHERE org_id = %(org)s LIMIT %(cap)s) x GROUP BY queue_id
), running AS (
  SELECT l.queue_id, count(*) AS jobs
  FROM job_lease l CROSS JOIN LATERAL json_array_elements(l.jobs::json) e
  WHERE e->>7 = %(org)s AND NOT (e->>0)::bigint = ANY (l.finished) GROUP BY l.queue_id
), dead AS (
  SELECT queue_id, count(*) AS jobs
  FROM (SELECT queue_id FROM job_dead WHERE org_id = %(org)s LIMIT %(cap)s) x GROUP BY queue_id
), success AS (
  SELECT queue_id, max(finished_at) AS at
  FROM (SELECT queue_id, finished_at, outcome FROM job_run WHERE org_id = %(org)s ORDER BY job_id DESC LIMIT 1000) x
  WHERE outcome = 0 GROUP BY queue_id
)
SELECT q.name, q.pool, q.concurrency, q.org_concurrency, q.paused_at, q.paused_reason,
  NULL::text AS paused_by,
  (SELECT count(*) FROM (SELECT 1 FROM job WHERE queue_id = q.id AND org_id = %(org)s LIMIT %(cap)s) x) AS waiting,
  coalesce(later.jobs, 0) AS scheduled, coalesce(running.jobs, 0) AS running, coalesce(dead.jobs, 0) AS dead,
  (SELECT date_part('epoch', now() - min(head.enqueued_at))
   FROM generate_series(0, 7) AS l(lane) CROSS JOIN LATERAL (
     SELECT j.enqueued_at FROM job j
     WHERE j.queue_id = q.id AND j.org_id = %(org)s AND j.lane = l.lane ORDER BY j.seq LIMIT 1) head
  ) AS lag_s,
  success.at AS last_success_at
FROM queue q LEFT JOIN later ON later.queue_id = q.id LEFT JOIN running ON running.queue_id = q.id
  LEFT JOIN dead ON dead.queue_id = q.id LEFT JOIN success ON success.queue_id = q.id
ORDER BY q.name
