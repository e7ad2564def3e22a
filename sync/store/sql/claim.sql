-- Claim: delete due rows of several lanes and pack them into one lease. No row when there was nothing, or the queue is paused.
-- Parameters: lease (its id), queue, worker, and per lane: orgs, lanes, marks, quanta (arrays). Index: job_pick, one descent per lane.
-- The deletion goes by ctid: joined on the key columns the planner scans the table (14 thousand jobs/s instead of 120).
WITH pick AS MATERIALIZED (
  SELECT j.tid
  FROM unnest(%(orgs)s::text[], %(lanes)s::smallint[], %(marks)s::bigint[], %(quanta)s::int[]) AS t(org_id, lane, mark, quantum)
  CROSS JOIN LATERAL (
    SELECT ctid AS tid FROM job
    WHERE queue_id = %(queue)s AND org_id = t.org_id AND lane = t.lane AND seq > t.mark
    ORDER BY seq LIMIT t.quantum FOR UPDATE SKIP LOCKED) j
  WHERE NOT EXISTS (SELECT 1 FROM queue WHERE id = %(queue)s AND paused_at IS NOT NULL)
    AND NOT EXISTS (SELECT 1 FROM org_share s WHERE s.org_id = t.org_id AND s.paused_at IS NOT NULL)
), taken AS (
  DELETE FROM job WHERE ctid = ANY (ARRAY(SELECT tid FROM pick)) RETURNING sync_pack(job) AS packed
)
INSERT INTO job_lease (id, worker_id, queue_id, size, jobs) OVERRIDING SYSTEM VALUE
SELECT %(lease)s, %(worker)s, %(queue)s, count(*), '[' || string_agg(packed, ',') || ']'
FROM taken HAVING count(*) > 0
RETURNING id, jobs
