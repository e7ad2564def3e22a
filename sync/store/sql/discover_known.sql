-- The cheap form of discover.sql, for when a long snapshot keeps vacuum away and the full scan has to wade through dead
-- index entries: known lanes are probed above their marks, and each gap between two known lanes is asked for one
-- lane that is new ('~' sorts after every org id). Parameters: queue; orgs, lanes, marks (arrays, sorted by org and lane).
-- Index: job_pick. Every probe is an ordered LIMIT 1 with its bounds in the index condition: anything else may scan it all.
WITH known AS MATERIALIZED (
  SELECT org_id, lane, mark, lead(org_id, 1, '~') OVER w AS next_org, lead(lane, 1, 0::smallint) OVER w AS next_lane
  FROM unnest(%(orgs)s::text[], %(lanes)s::smallint[], %(marks)s::bigint[]) AS k(org_id, lane, mark)
  WINDOW w AS (ORDER BY org_id COLLATE "C", lane)
)
SELECT k.org_id, k.lane FROM known k CROSS JOIN LATERAL (
  SELECT j.seq FROM job j
  WHERE j.queue_id = %(queue)s AND j.org_id = k.org_id AND j.lane = k.lane AND j.seq > k.mark
  ORDER BY j.seq LIMIT 1) n
UNION ALL
SELECT n.org_id, n.lane FROM known k CROSS JOIN LATERAL (
  SELECT j.org_id, j.lane FROM job j
  WHERE j.queue_id = %(queue)s AND (j.org_id, j.lane) > (k.org_id, k.lane) AND (j.org_id, j.lane) < (k.next_org, k.next_lane)
  ORDER BY j.org_id, j.lane, j.seq LIMIT 1) n
UNION ALL
SELECT n.org_id, n.lane FROM (SELECT org_id, lane FROM known ORDER BY org_id COLLATE "C", lane LIMIT 1) k CROSS JOIN LATERAL (
  SELECT j.org_id, j.lane FROM job j
  WHERE j.queue_id = %(queue)s AND (j.org_id, j.lane) < (k.org_id, k.lane)
  ORDER BY j.org_id, j.lane, j.seq LIMIT 1) n
