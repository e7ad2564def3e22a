-- Orgs that have jobs or a history, by loose index scans. Parameters: limit. Indexes: job_run_org, job_scheduled_org, job_dead_org;
-- job_pick per queue.
WITH RECURSIVE logged AS (
  (SELECT org_id FROM job_run ORDER BY org_id LIMIT 1)
  UNION ALL
  SELECT (SELECT r.org_id FROM job_run r WHERE r.org_id > l.org_id ORDER BY r.org_id LIMIT 1) FROM logged l WHERE l.org_id IS NOT NULL
), waiting AS (
  (SELECT q.id AS queue_id, (SELECT org_id FROM job WHERE queue_id = q.id ORDER BY org_id LIMIT 1) AS org_id FROM queue q)
  UNION ALL
  SELECT w.queue_id, (SELECT j.org_id FROM job j WHERE j.queue_id = w.queue_id AND j.org_id > w.org_id ORDER BY j.org_id LIMIT 1)
  FROM waiting w WHERE w.org_id IS NOT NULL
), scheduled AS (
  (SELECT org_id FROM job_scheduled ORDER BY org_id LIMIT 1)
  UNION ALL
  SELECT (SELECT s.org_id FROM job_scheduled s WHERE s.org_id > l.org_id ORDER BY s.org_id LIMIT 1) FROM scheduled l WHERE l.org_id IS NOT NULL
), dead AS (
  (SELECT org_id FROM job_dead ORDER BY org_id LIMIT 1)
  UNION ALL
  SELECT (SELECT d.org_id FROM job_dead d WHERE d.org_id > l.org_id ORDER BY d.org_id LIMIT 1) FROM dead l WHERE l.org_id IS NOT NULL
), held AS (
  SELECT DISTINCT e->>7 AS org_id FROM job_lease l CROSS JOIN LATERAL json_array_elements(l.jobs::json) e
)
SELECT org_id FROM (
  SELECT org_id FROM logged UNION SELECT org_id FROM waiting UNION SELECT org_id FROM scheduled UNION SELECT org_id FROM dead
  UNION SELECT org_id FROM held
) x WHERE org_id IS NOT NULL ORDER BY org_id LIMIT %(limit)s
