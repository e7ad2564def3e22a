-- One page of jobs, newest first, over all the tables a job can live in. Branches whose state was not asked for cost nothing.
-- Parameters: orgs (array), before (position, exclusive), limit, kind and queue (NULL: any), worker_died (the error of jobs
-- that died so), and one boolean per state.
-- Indexes: job_pick (one descent per org, queue and lane), job_scheduled_org, job_dead_org, job_run_org; job_lease is small.
-- position: seq of a waiting job, else its id; a job that re-entered stands where it re-entered.
WITH wanted_queue AS (
  SELECT id, name FROM queue WHERE %(queue)s::text IS NULL OR name = %(queue)s
), org AS (
  SELECT unnest(%(orgs)s::text[]) AS org_id
), found AS (
  SELECT * FROM (
    SELECT j.seq AS position, coalesce(j.job_id, j.seq) AS id, j.org_id, j.kind, j.queue_id, 'waiting' AS state, j.lane, j.attempt,
           j.max_attempts, j.enqueued_at, NULL::timestamptz AS run_at, NULL::timestamptz AS finished_at, j.args::text AS args, j.meta->'errors'->-1 AS error
    FROM org o CROSS JOIN wanted_queue q CROSS JOIN generate_series(0, 7) AS l(lane)
    CROSS JOIN LATERAL (
      SELECT * FROM job
      WHERE queue_id = q.id AND org_id = o.org_id AND lane = l.lane AND seq < %(before)s
        AND (%(kind)s::text IS NULL OR kind = %(kind)s)
      ORDER BY seq DESC LIMIT %(limit)s) j
    WHERE %(waiting)s
    UNION ALL
    SELECT j.job_id, j.job_id, j.org_id, j.kind, j.queue_id, CASE reason WHEN 'retry' THEN 'retrying' ELSE 'scheduled' END, j.lane,
           j.attempt, j.max_attempts, j.enqueued_at, j.run_at, NULL, j.args::text, j.meta->'errors'->-1
    FROM org o CROSS JOIN LATERAL (
      SELECT * FROM job_scheduled s
      WHERE s.org_id = o.org_id AND s.job_id < %(before)s AND (%(kind)s::text IS NULL OR s.kind = %(kind)s)
        AND s.queue_id IN (SELECT id FROM wanted_queue)
        AND ((%(scheduled)s AND s.reason <> 'retry') OR (%(retrying)s AND s.reason = 'retry'))
      ORDER BY s.job_id DESC LIMIT %(limit)s) j
    WHERE %(scheduled)s OR %(retrying)s
    UNION ALL
    SELECT (e->>0)::bigint, (e->>0)::bigint, e->>7, e->>8, l.queue_id, 'running', (e->>2)::smallint, (e->>3)::smallint + 1,
           (e->>4)::smallint, to_timestamp((e->>6)::float8), NULL, NULL, e->>11, CASE json_typeof(e->10) WHEN 'object' THEN e->10->'errors'->-1 END
    FROM job_lease l CROSS JOIN LATERAL json_array_elements(l.jobs::json) e
    WHERE %(running)s AND l.queue_id IN (SELECT id FROM wanted_queue)
      AND e->>7 = ANY (%(orgs)s::text[]) AND (e->>0)::bigint < %(before)s AND NOT (e->>0)::bigint = ANY (l.finished)
      AND (%(kind)s::text IS NULL OR e->>8 = %(kind)s)
    UNION ALL
    SELECT d.job_id, d.job_id, d.org_id, d.kind, d.queue_id, 'dead', d.lane, d.attempt, d.max_attempts, d.enqueued_at, NULL, d.died_at,
           d.args::text,
           CASE d.error_class WHEN 'WorkerDied' THEN %(worker_died)s::json ELSE d.meta->'errors'->-1 END
    FROM org o CROSS JOIN LATERAL (
      SELECT * FROM job_dead x
      WHERE x.org_id = o.org_id AND x.job_id < %(before)s AND (%(kind)s::text IS NULL OR x.kind = %(kind)s)
        AND x.queue_id IN (SELECT id FROM wanted_queue)
      ORDER BY x.job_id DESC LIMIT %(limit)s) d
    WHERE %(dead)s
    UNION ALL
    SELECT r.job_id, r.job_id, r.org_id, r.kind, r.queue_id,
           CASE r.outcome WHEN 0 THEN 'done' WHEN 3 THEN 'cancelled' ELSE 'discarded' END,
           NULL, r.attempt, NULL, NULL, NULL, r.finished_at, NULL, r.error
    FROM org o CROSS JOIN LATERAL (
      SELECT * FROM job_run x
      WHERE x.org_id = o.org_id AND x.job_id < %(before)s AND (%(kind)s::text IS NULL OR x.kind = %(kind)s)
        AND x.queue_id IN (SELECT id FROM wanted_queue)
        AND ((%(done)s AND x.outcome = 0) OR (%(cancelled)s AND x.outcome = 3) OR (%(discarded)s AND x.outcome = 7))
      ORDER BY x.job_id DESC LIMIT %(limit)s) r
    WHERE %(done)s OR %(cancelled)s OR %(discarded)s
  ) u ORDER BY position DESC LIMIT %(limit)s
)
SELECT f.*, q.name AS queue, p.percent, p.message AS progress_message, p.updated_at AS progress_at
FROM found f JOIN queue q ON q.id = f.queue_id LEFT JOIN job_progress p ON p.job_id = f.id
ORDER BY f.position DESC
