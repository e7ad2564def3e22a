-- One job with keys or a time; see sync_enqueue_job(). Parameters: kind, args, org, run_at, lane, unique_key, idempotency_key,
-- max_attempts, meta.
SELECT job_id, created FROM sync_enqueue_job(
  %(kind)s, %(args)s::json, %(org)s, %(run_at)s::timestamptz, %(lane)s::smallint, %(unique_key)s, %(idempotency_key)s,
  %(max_attempts)s::smallint, %(meta)s::json)
