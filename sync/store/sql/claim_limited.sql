-- Claim from a queue with a concurrency limit: one lease per job, so the leases are the count of what runs.
-- The caller holds the queue's row FOR UPDATE in the same transaction. Parameters and index as in claim.sql;
-- lease is the id of the first one.
WITH pick AS MATERIALIZED (
  SELECT j.tid
  FROM unnest(%(orgs)s::text[], %(lanes)s::smallint[], %(marks)s::bigint[], %(quanta)s::int[]) AS t(org_id, lane, mark, quantum)
  CROSS JOIN LATERAL (
    SELECT ctid AS tid FROM job
    WHERE queue_id = %(queue)s AND org_id = t.org_id AND lane = t.lane AND seq > t.mark
    ORDER BY seq LIMIT t.quantum FOR UPDATE SKIP LOCKED) j
  WHERE NOT EXISTS (SELECT 1 FROM org_share s WHERE s.org_id = t.org_id AND s.paused_at IS NOT NULL)
), taken AS (
  DELETE FROM job WHERE ctid = ANY (ARRAY(SELECT tid FROM pick)) RETURNING org_id, sync_pack(job) AS packed
)
INSERT INTO job_lease (id, worker_id, queue_id, org_id, size, jobs) OVERRIDING SYSTEM VALUE
SELECT %(lease)s + row_number() OVER () - 1, %(worker)s, %(queue)s, org_id, 1, '[' || packed || ']'
FROM taken
RETURNING id, jobs
