-- Retries and snoozes: back into job_scheduled. Parameters: per job: delays (seconds), reasons, ids, queues, lanes, attempts,
-- max_attempts, crashes, enqueued (unix time), orgs, kinds, args, unique_keys, metas (arrays).
INSERT INTO job_scheduled (run_at, job_id, reason, queue_id, lane, attempt, max_attempts, crashes, enqueued_at, org_id, kind,
                           args, unique_key, meta)
SELECT now() + make_interval(secs => delay_s), job_id, reason, queue_id, lane, attempt, max_attempts, crashes,
       to_timestamp(enqueued_s), org_id, kind, args::json, unique_key, meta::json
FROM unnest(%(delays)s::float8[], %(reasons)s::text[], %(ids)s::bigint[], %(queues)s::smallint[], %(lanes)s::smallint[],
            %(attempts)s::smallint[], %(max_attempts)s::smallint[], %(crashes)s::smallint[], %(enqueued)s::float8[],
            %(orgs)s::text[], %(kinds)s::text[], %(args)s::text[], %(unique_keys)s::text[], %(metas)s::text[])
  AS e(delay_s, reason, job_id, queue_id, lane, attempt, max_attempts, crashes, enqueued_s, org_id, kind, args, unique_key, meta)
