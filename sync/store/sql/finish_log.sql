-- Run log of a finish with mixed outcomes.
-- Parameters: worker; per job: ids, queues, durations, attempts, outcomes, orgs, kinds, errors (arrays; errors as JSON text).
INSERT INTO job_run (job_id, worker_id, duration_ms, queue_id, attempt, outcome, org_id, kind, error)
SELECT job_id, %(worker)s, duration_ms, queue_id, attempt, outcome, org_id, kind, error::json
FROM unnest(%(ids)s::bigint[], %(queues)s::smallint[], %(durations)s::int[], %(attempts)s::smallint[],
            %(outcomes)s::smallint[], %(orgs)s::text[], %(kinds)s::text[], %(errors)s::text[])
  AS e(job_id, queue_id, duration_ms, attempt, outcome, org_id, kind, error)
