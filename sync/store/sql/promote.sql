-- Move due jobs from job_scheduled to job, under a new seq (their id stays). Safe to run everywhere at once.
-- Parameters: queues (array), limit. Index: job_scheduled_due. Returns the lanes that got work.
WITH due AS MATERIALIZED (
  SELECT job_id FROM job_scheduled
  WHERE queue_id = ANY (%(queues)s::smallint[]) AND run_at <= now()
  ORDER BY run_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
), moved AS (
  DELETE FROM job_scheduled WHERE job_id = ANY (ARRAY(SELECT job_id FROM due)) RETURNING *
), back AS (
  INSERT INTO job (queue_id, lane, attempt, max_attempts, crashes, job_id, enqueued_at, org_id, kind, args, unique_key, meta)
  SELECT queue_id, lane, attempt, max_attempts, crashes, job_id, enqueued_at, org_id, kind, args, unique_key, meta
  FROM moved ORDER BY run_at, job_id
  RETURNING queue_id, org_id, lane
)
SELECT queue_id, org_id, lane, count(*) AS jobs FROM back GROUP BY 1, 2, 3
