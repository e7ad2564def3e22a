"""Signatures on outgoing webhooks, as written down by Standard Webhooks (standardwebhooks.com). Pure."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence

from sync.consumers.secrets import signing_bytes


def signature_headers(message_id: str, timestamp_s: int, body: bytes, keys: Sequence[str]) -> dict[str, str]:
    """The three headers by which a receiver recognises us, repeats and replays.

    The id is the same in every attempt, the timestamp is that of this attempt. Several keys (during a rotation) make
    several signatures, separated by a space; without keys the message is identified but not signed.
    """
    headers = {"webhook-id": message_id, "webhook-timestamp": str(timestamp_s)}
    if keys:
        signed = f"{message_id}.{timestamp_s}.".encode() + body
        headers["webhook-signature"] = " ".join(_signature(key, signed) for key in keys)
    return headers


def _signature(key: str, signed: bytes) -> str:
    return "v1," + base64.b64encode(hmac.new(signing_bytes(key), signed, hashlib.sha256).digest()).decode()
