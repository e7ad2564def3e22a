"""Folder names on the wire: modified UTF-7 (RFC 3501, 5.1.3), quoted by the client."""

from __future__ import annotations

import base64
from itertools import groupby


def encode_folder(name: str) -> str:
    """Printable ASCII stays, '&' becomes '&-', runs of anything else become '&' base64 of UTF-16BE '-'."""
    encoded: list[str] = []
    for plain, characters in groupby(name, key=lambda character: " " <= character <= "~"):
        run = "".join(characters)
        if plain:
            encoded.append(run.replace("&", "&-"))
        else:
            wide = base64.b64encode(run.encode("utf-16-be", "surrogatepass")).decode()
            encoded.append(f"&{wide.rstrip('=').replace('/', ',')}-")
    return "".join(encoded)
