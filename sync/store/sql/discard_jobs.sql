-- Operator: dead jobs leave for the history. Parameters: ids (array), org (NULL: any), reason. Index: primary key.
WITH gone AS (
  DELETE FROM job_dead WHERE job_id = ANY (%(ids)s::bigint[]) AND (%(org)s::text IS NULL OR org_id = %(org)s)
  RETURNING job_id, queue_id, attempt, org_id, kind
)
INSERT INTO job_run (job_id, duration_ms, queue_id, attempt, outcome, org_id, kind, error)
SELECT job_id, 0, queue_id, attempt, 7, org_id, kind, json_build_object('message', %(reason)s::text) FROM gone
RETURNING job_id
