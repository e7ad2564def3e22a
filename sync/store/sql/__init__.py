"""Hot and subtle statements live here as `.sql` files, read through importlib so that an installed wheel works."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def load_sql(name: str) -> str:
    """Text of `<name>.sql`. Errors: FileNotFoundError for an unknown name."""
    return files(__package__).joinpath(f"{name}.sql").read_text(encoding="utf-8")
