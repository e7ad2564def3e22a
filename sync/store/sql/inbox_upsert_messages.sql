INSERT INTO inbox_message AS m
  (activity_id, org_id, integration_id, thread_key, kind, in_tree, vendor_id, parent_id, root_id, place, author_kind,
   author_value, incoming, deleted, occurred_at)
SELECT * FROM unnest(
  %s::int8[], %s::text[], %s::int8[], %s::text[], %s::text[], %s::bool[], %s::text[], %s::text[], %s::text[],
  %s::text[], %s::text[], %s::text[], %s::bool[], %s::bool[], %s::timestamptz[])
ON CONFLICT (activity_id) DO UPDATE
SET thread_key = excluded.thread_key, parent_id = excluded.parent_id, root_id = excluded.root_id,
    place = excluded.place, author_kind = excluded.author_kind, author_value = excluded.author_value,
    incoming = excluded.incoming, deleted = excluded.deleted, occurred_at = excluded.occurred_at
WHERE (m.thread_key, m.parent_id, m.root_id, m.place, m.author_kind, m.author_value, m.incoming, m.deleted,
       m.occurred_at)
  IS DISTINCT FROM
      (excluded.thread_key, excluded.parent_id, excluded.root_id, excluded.place, excluded.author_kind,
       excluded.author_value, excluded.incoming, excluded.deleted, excluded.occurred_at)
