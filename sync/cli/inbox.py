"""`syncctl inbox`: conversations of an org, and making the inbox anew from what is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from sync.cli.session import print_table, when, with_runtime

if TYPE_CHECKING:
    from sync.inbox.rules import Status
    from sync.wiring import Runtime

app = typer.Typer(help="Look at conversations; work them out again.", no_args_is_help=True)


@app.command("list")
def list_conversations(
    org: Annotated[str, typer.Option(help="Whose.")],
    status: Annotated[str | None, typer.Option(help="open, pending or closed.")] = None,
    platform: Annotated[str | None, typer.Option(help="Only this platform's.")] = None,
    unread: Annotated[bool, typer.Option("--unread", help="Only those with something unread.")] = False,
    limit: int = 50,
) -> None:
    """Conversations, the last message first."""

    async def work(runtime: Runtime) -> list[dict[str, Any]]:
        from sync.inbox.conversations import ConversationFilter, Conversations

        wanted = ConversationFilter(_status(status), platform=platform, unread=True if unread else None)
        return await Conversations(runtime.database).list(org, wanted, limit=limit)

    rows = [
        [
            str(row["id"]),
            f"{row['platform']} {row['kind']}",
            row["contact_name"] or row["contact_handle"] or "-",
            row["status"],
            row["assignee"] or "-",
            str(row["unread"]),
            when(row["last_message_at"]),
            row["last_message_preview"][:60],
        ]
        for row in with_runtime(work)
    ]
    print_table("id", "channel", "contact", "status", "assignee", "unread", "last", "", rows=rows)


@app.command("rebuild")
def rebuild_inbox(org: Annotated[str | None, typer.Option(help="Only this org's.")] = None) -> None:
    """Work out conversations and contacts again from all stored activities; what people decided stays."""

    async def work(runtime: Runtime) -> int:
        from sync.inbox.projector import rebuild

        return await rebuild(runtime.database, org)

    typer.echo(f"{with_runtime(work)} activities were looked at.")


def _status(name: str | None) -> Status | None:
    known: dict[str, Status] = {"open": "open", "pending": "pending", "closed": "closed"}
    if name is not None and name not in known:
        raise typer.BadParameter("It is open, pending or closed.")
    return None if name is None else known[name]
