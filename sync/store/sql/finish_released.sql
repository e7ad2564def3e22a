-- Jobs given back unstarted or interrupted at shutdown: waiting again, nothing counted.
-- Parameters: per job: ids, queues, lanes, attempts, max_attempts, crashes, enqueued (unix time), orgs, kinds, args,
-- unique_keys, metas (arrays).
INSERT INTO job (job_id, queue_id, lane, attempt, max_attempts, crashes, enqueued_at, org_id, kind, args, unique_key, meta)
SELECT job_id, queue_id, lane, attempt, max_attempts, crashes, to_timestamp(enqueued_s), org_id, kind, args::json, unique_key,
       meta::json
FROM unnest(%(ids)s::bigint[], %(queues)s::smallint[], %(lanes)s::smallint[], %(attempts)s::smallint[],
            %(max_attempts)s::smallint[], %(crashes)s::smallint[], %(enqueued)s::float8[], %(orgs)s::text[], %(kinds)s::text[],
            %(args)s::text[], %(unique_keys)s::text[], %(metas)s::text[])
  AS e(job_id, queue_id, lane, attempt, max_attempts, crashes, enqueued_s, org_id, kind, args, unique_key, meta)
