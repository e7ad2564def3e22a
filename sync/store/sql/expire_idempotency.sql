-- Forget idempotency keys older than their time. Parameters: seconds, limit. Index: job_idempotency_age.
DELETE FROM job_idempotency i USING (
  SELECT org_id, key FROM job_idempotency
  WHERE created_at < now() - make_interval(secs => %(seconds)s)
  ORDER BY created_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
) old
WHERE i.org_id = old.org_id AND i.key = old.key
