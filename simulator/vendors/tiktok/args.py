"""Arguments of a query: arrays are JSON texts, and what is wrong with one is said with code 40002."""

from __future__ import annotations

from datetime import date
from typing import Any

import msgspec

from simulator.http import Refusal, Request
from simulator.vendors.tiktok import errors


def bad(request: Request, message: str) -> Refusal:
    return Refusal(errors.response(request, 40002, message))


def json_arg(request: Request, name: str, default: Any = None) -> Any:
    value = request.query.get(name)
    if value is None:
        return default
    try:
        return msgspec.json.decode(value)
    except msgspec.DecodeError as error:
        raise bad(request, f"{name}: Field must be set to array or object in JSON.") from error


def list_arg(request: Request, name: str, known: Any = None) -> list[str]:
    found = json_arg(request, name, [])
    if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
        raise bad(request, f"{name}: Field must be set to array.")
    unknown = [item for item in found if known is not None and item not in known]
    if unknown:
        raise bad(request, f"{name}: Invalid value {unknown[0]}.")
    return found


def number_arg(request: Request, name: str, default: int, least: int, most: int) -> int:
    value = request.query.get(name, str(default))
    if not value.isdigit() or not least <= int(value) <= most:
        raise bad(request, f"{name}: Value must be between {least} and {most}.")
    return int(value)


def date_arg(request: Request, value: Any, name: str) -> date:
    try:
        return date.fromisoformat(str(value))
    except ValueError as error:
        raise bad(request, f"{name}: Datetime has wrong format. Use YYYY-MM-DD.") from error


def shown(record: dict[str, Any], fields: Any = None) -> dict[str, Any]:
    """What of a record is told: the fields asked for, never our own notes."""
    return {
        name: value for name, value in record.items() if not name.startswith("_") and (fields is None or name in fields)
    }
