"""One org's belongings of every sort, made the way they come about, for tests that look at all routes."""

from __future__ import annotations

from dataclasses import dataclass

from sync.inbox.projector import InboxProjector
from tests.integration.api.conftest import Api

MARK = "acme-only"
"""In every name of what `populate` makes: nobody else's answers may contain it."""


@dataclass(frozen=True)
class World:
    integration: int
    run: int
    waiting: int
    scheduled: int
    dead: int
    alert: int
    activity: int
    mail: int
    delivery: int
    conversation: int
    contact: int
    reply: int
    post: int
    subscription: int
    schedule: str = f"{MARK}-schedule"
    secret: str = f"{MARK}-secret"

    def path(self, template: str) -> str:
        """A route's address with the ids of this world in it."""
        values = {
            "job_id": self.dead,
            "run_id": self.run,
            "integration_id": self.integration,
            "alert_id": self.alert,
            "activity_id": self.post if template.startswith("/analytics/") else self.activity,
            "mail_id": self.mail,
            "delivery_id": self.delivery,
            "conversation_id": self.conversation,
            "contact_id": self.contact,
            "reply_id": self.reply,
            "subscription_id": self.subscription,
            "name": self.secret
            if "/secrets/" in template
            else self.schedule
            if "/schedules/" in template
            else "one-off",
            "platform": "email",
            "sync_type": "messages",
        }
        return template.format(**values)


async def populate(api: Api, org: str = "acme") -> World:
    integration = await api.post(
        "/sync/integrations",
        {
            "platform": "email",
            "account": f"{MARK}@acme.test",
            "config": {"host": f"imap.{MARK}.test"},
            "credentials": {"password": "hunter2"},
        },
        org=org,
    )
    run = await api.post("/sync/trigger/email", {}, org=org)
    greet = {"kind": "test.greet", "args": {"name": MARK, "password": "hunter2"}}
    waiting = await api.post("/sync/queue", greet, org=org)
    scheduled = await api.post("/sync/queue", {**greet, "runAt": "2090-01-01T00:00Z"}, org=org)
    dead = await kill_job(api, (await api.post("/sync/queue", greet, org=org))["jobId"])
    await api.post("/sync/schedules", {"name": f"{MARK}-schedule", "kind": "test.timed", "cron": "0 9 * * *"}, org=org)
    await api.call("PUT", f"/sync/secrets/{MARK}-secret", json={}, org=org)
    alert = await api.value(
        "INSERT INTO alert (org_id, key, severity, title) VALUES (%s, %s, 'error', %s) RETURNING id", org, MARK, MARK
    )
    await add_metric(api, integration["id"], MARK, org)
    await api.runtime.database.execute(
        "INSERT INTO sync_lease (org_id, platform, epoch, holder, node, pid, expires_at)"
        " VALUES (%s, 'email', 1, %s, %s, 1, now() + interval '1 minute')",
        (org, f"sync:{org}:email/{MARK}", MARK),
    )
    activity = await add_activity(api, integration["id"], MARK, org)
    async with api.runtime.database.transaction() as tx:
        await InboxProjector().project(tx, [activity])
    hook = {"type": "webhook", "url": "https://example.com/hook"}
    subscription = await api.post("/sync/subscriptions", {"name": MARK, "patterns": ["*"], "target": hook}, org=org)
    conversation = (await api.get("/inbox/conversations", org=org))["items"][0]
    return World(
        integration=integration["id"],
        run=run["runs"][0]["runId"],
        waiting=waiting["jobId"],
        scheduled=scheduled["jobId"],
        dead=dead,
        alert=alert,
        activity=activity,
        mail=await add_mail(api, integration["id"], MARK, org),
        delivery=await add_delivery(api, integration["id"], MARK, org),
        conversation=conversation["id"],
        subscription=subscription["id"],
        contact=conversation["contact"]["id"],
        reply=await api.value(
            """INSERT INTO inbox_reply (org_id, conversation_id, integration_id, text, client_token, requested_by)
               VALUES (%s, %s, %s, %s, 'token', 'agent') RETURNING id""",
            *(org, conversation["id"], integration["id"], MARK),
        ),
        post=await add_activity(api, integration["id"], f"{MARK}-post", org, kind="post"),
    )


async def add_activity(
    api: Api, integration: int, name: str, org: str = "acme", *, kind: str = "message", at: str = "2026-11-01T09:00Z"
) -> int:
    return int(
        await api.value(
            """INSERT INTO activity (org_id, integration_id, platform, kind, vendor_id, thread_id, direction,
                 occurred_at, text, version, content_hash, raw, author_id, author_name)
               SELECT %s, i.id, i.platform, %s, %s, 'thread', 'in', %s, %s, 0, '', '{"id": 1, "token": "hunter2"}',
                 'author', %s
               FROM integration i WHERE i.id = %s RETURNING id""",
            org,
            kind,
            name,
            at,
            name,
            name,
            integration,
        )
    )


async def add_metric(
    api: Api, integration: int, entity: str, org: str = "acme", *, metric: str = "spend", day: str = "2026-11-01"
) -> None:
    await api.runtime.database.execute(
        """INSERT INTO metric_point (integration_id, entity_kind, entity, metric, starts_at, ends_at, dimensions,
             org_id, platform, value, currency, is_final)
           SELECT i.id, 'campaign', %s, %s, %s::date, %s::date + 1, '{"country":"DE"}', %s, i.platform, 12.340, 'EUR',
             false
           FROM integration i WHERE i.id = %s""",
        (entity, metric, day, day, org, integration),
    )


async def add_mail(api: Api, integration: int, subject: str, org: str = "acme") -> int:
    return int(
        await api.value(
            """INSERT INTO mail_message (org_id, integration_id, content_key, state, received_at, subject, body_text,
                 headers, size)
               VALUES (%s, %s, gen_random_uuid()::text::bytea, 'stored', now(), %s, 'Hello', %s::jsonb, 100)
               RETURNING id""",
            org,
            integration,
            subject,
            f'[["Subject", "{subject}"]]',
        )
    )


async def add_delivery(api: Api, integration: int, account: str, org: str = "acme") -> int:
    """A webhook that told something about the account of one org, and nothing else."""
    return int(
        await api.value(
            """WITH d AS (
                 INSERT INTO webhook_delivery (dedup_key, platform, headers, query, body, state, next_at)
                 VALUES (gen_random_uuid()::text::bytea, 'slack', '{}', '{}', '{"token": "hunter2"}', 'applied', NULL)
                 RETURNING id
               )
               INSERT INTO webhook_event (delivery_id, number, org_id, integration_id, account, key, outcome)
               SELECT id, 0, %s, %s, %s, 'key', 'applied' FROM d RETURNING delivery_id""",
            org,
            integration,
            account,
        )
    )


async def kill_job(api: Api, job_id: int, error_class: str = "Permanent") -> int:
    """What a worker does with a job that is out of attempts."""
    async with api.runtime.database.transaction() as tx:
        await tx.execute(
            """WITH gone AS (DELETE FROM job WHERE seq = %(id)s RETURNING *)
               INSERT INTO job_dead
                 (job_id, queue_id, lane, attempt, max_attempts, enqueued_at, org_id, kind, args, meta, error_class)
               SELECT seq, queue_id, lane, 20, max_attempts, enqueued_at, org_id, kind, args,
                 json_build_object('errors', json_build_array(json_build_object('class', %(class)s::text))),
                 %(class)s
               FROM gone""",
            {"id": job_id, "class": error_class},
        )
        await tx.execute(
            """INSERT INTO job_run (job_id, duration_ms, queue_id, attempt, outcome, org_id, kind, error)
               SELECT job_id, 12, queue_id, 20, 4, org_id, kind, json_build_object('class', error_class) FROM job_dead
               WHERE job_id = %s""",
            (job_id,),
        )
    return job_id
