"""Text as mail brings it, made fit for UTF-8 and PostgreSQL."""

from __future__ import annotations

import codecs
import re

_CONTROL = {code: None for code in range(32) if chr(code) not in "\t\n\r"}
_SURROGATE = re.compile("[\ud800-\udfff]")


def clean(text: str) -> str:
    """Without NUL and other control characters; lone surrogates become U+FFFD."""
    return text if text.isprintable() else _SURROGATE.sub("\ufffd", text.translate(_CONTROL))


def decode(data: bytes, charset: str | None) -> tuple[str, str | None]:
    """Text of a body, and what was wrong with its charset.

    A declared charset is a claim: UTF-8 that is valid is believed first when ASCII or Latin-1 is declared, GB2312 is
    read as its superset, and what fits nowhere is read as CP1252.
    """
    name = (charset or "us-ascii").strip().strip("\"'").casefold()
    name = {"gb2312": "gb18030", "gbk": "gb18030", "utf-8mb4": "utf-8", "utf8mb4": "utf-8"}.get(name, name)
    claims_little = name in {"us-ascii", "ascii", "iso-8859-1", "latin-1", "latin1", "unknown-8bit", "8bit", "binary"}
    for candidate in ("utf-8", name) if claims_little else (name, "utf-8"):
        try:
            if _is_text_codec(candidate):
                return data.decode(candidate), None if candidate == name or claims_little else _complaint(charset)
        except (UnicodeError, ValueError):
            continue
    return data.decode("cp1252", "replace"), _complaint(charset)


def _is_text_codec(name: str) -> bool:
    try:
        # Python also knows codecs like "rot13" and "zlib", which a mail must not reach.
        return bool(codecs.lookup(name)._is_text_encoding) and name not in {"idna", "punycode", "unicode_escape"}
    except (LookupError, ValueError):
        return False


def _complaint(charset: str | None) -> str:
    return f"text is not {clean(charset or 'us-ascii')[:40]}"
