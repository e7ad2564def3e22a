"""Slack's Events API: what a workspace tells the app."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulator.dice import ALNUM, UPPER, letters
from simulator.feed import Record
from simulator.vendors.slack.data import MICRO, Channel, Team, ts

if TYPE_CHECKING:
    from simulator.vendors.slack import Slack

_KINDS = {"public": "channel", "private": "group", "im": "im", "mpim": "mpim"}


class Events:
    def __init__(self, slack: Slack) -> None:
        self._slack = slack
        self._number = 0
        self.token = letters(24, ALNUM, "verification", slack.seed)

    def message(self, team: Team, room: Channel, record: Record) -> None:
        shown = {name: value for name, value in record.items() if name != "blocks"}
        event = {**shown, "channel": room.id, "event_ts": record["ts"], "channel_type": _KINDS[room.kind]}
        self.send(team, event)
        if f"<@{team.bot_user}>" in record["text"] or f"&lt;@{team.bot_user}&gt;" in record["text"]:
            self.send(team, {**event, "type": "app_mention"})

    def changed(self, team: Team, room: Channel, before: Record, after: Record) -> None:
        self._hidden(team, room, "message_changed", message=after, previous_message=before)

    def deleted(self, team: Team, room: Channel, before: Record) -> None:
        self._hidden(team, room, "message_deleted", deleted_ts=before["ts"], previous_message=before)

    def _hidden(self, team: Team, room: Channel, subtype: str, **parts: Any) -> None:
        stamp = self._stamp()
        event = {"type": "message", "subtype": subtype, "hidden": True, "channel": room.id, "ts": stamp, **parts}
        self.send(team, {**event, "event_ts": stamp, "channel_type": _KINDS[room.kind]})

    def reaction(self, team: Team, room: Channel, record: Record, emoji: str, user: str, *, added: bool) -> None:
        event = {
            "type": "reaction_added" if added else "reaction_removed",
            "user": user,
            "reaction": emoji,
            "item_user": record.get("user", ""),
            "item": {"type": "message", "channel": room.id, "ts": record["ts"]},
            "event_ts": self._stamp(),
        }
        self.send(team, event)

    def send(self, team: Team, event: Record) -> None:
        self._number += 1
        event_id = "Ev" + letters(10, UPPER, self._slack.seed, self._number)
        envelope = {
            "token": self.token,
            "team_id": team.id,
            "context_team_id": team.id,
            "context_enterprise_id": None,
            "api_app_id": self._slack.app.id,
            "event": event,
            "type": "event_callback",
            "event_id": event_id,
            "event_time": int(self._slack.now()),
            "event_context": f"4-{letters(20, ALNUM, event_id)}",
            "authorizations": [
                {
                    "enterprise_id": None,
                    "team_id": team.id,
                    "user_id": team.bot_user,
                    "is_bot": True,
                    "is_enterprise_install": False,
                }
            ],
            "is_ext_shared_channel": False,
        }
        self._slack.hooks.emit(team, envelope, topic=str(event["type"]), event_id=event_id)

    def _stamp(self) -> str:
        return ts(int(self._slack.now() * MICRO))
