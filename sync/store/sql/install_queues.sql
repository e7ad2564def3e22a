-- Queues as the catalogue has them; pauses stay. Parameters: names, pools, concurrency, org_concurrency (arrays).
-- Unchanged rows are not written. Index: queue_name_key.
INSERT INTO queue AS q (name, pool, concurrency, org_concurrency)
SELECT * FROM unnest(%(names)s::text[], %(pools)s::text[], %(concurrency)s::int[], %(org_concurrency)s::int[])
ON CONFLICT (name) DO UPDATE SET
  pool = excluded.pool, concurrency = excluded.concurrency, org_concurrency = excluded.org_concurrency
WHERE (q.pool, q.concurrency, q.org_concurrency) IS DISTINCT FROM (excluded.pool, excluded.concurrency, excluded.org_concurrency)
