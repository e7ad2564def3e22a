"""dlt doing the same: run by the interpreter of its own environment (`bench.sync.peer`), imports nothing of ours.

Its REST source pages through the channel by the ids it has seen, keeps the newest as its incremental cursor, and merges
by primary key into the same server. The answers' nested parts stay JSON columns, as ours keep the raw message:
tables of their own for attachments and mentions would be more work for it.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import dlt
from dlt.sources.helpers.rest_client.paginators import BasePaginator
from dlt.sources.rest_api import rest_api_source


class Onward(BasePaginator):
    """Newest first within a page; the next one follows its highest id."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size
        self._after = ""

    def update_state(self, response: Any, data: list[Any] | None = None) -> None:
        self._has_next_page = bool(data) and len(data) >= self._size
        if self._has_next_page:
            self._after = data[0]["id"]

    def update_request(self, request: Any) -> None:
        request.params["after"] = self._after


def source(config: dict[str, Any]) -> Any:
    return rest_api_source(
        {
            "client": {
                "base_url": config["url"],
                "headers": config["headers"],
                "paginator": Onward(config["page"]),
            },
            "resources": [
                {
                    "name": "messages",
                    "write_disposition": "merge",
                    "primary_key": "id",
                    "max_table_nesting": 0,
                    "endpoint": {
                        "path": config["path"],
                        "data_selector": "$",
                        "params": {"limit": config["page"], "after": "{incremental.start_value}"},
                        "incremental": {"cursor_path": "id", "initial_value": "0"},
                    },
                }
            ],
        }
    )


def _over_tcp(dsn: str) -> str:
    """dlt insists on a host and a password; libpq takes the socket of the query all the same."""
    return dsn.replace("@/", ":none@localhost/")


def main() -> None:
    config = json.loads(sys.argv[1])
    began = time.perf_counter()
    pipeline = dlt.pipeline(
        "bench",
        destination=dlt.destinations.postgres(_over_tcp(config["dsn"])),
        dataset_name="dlt_bench",
        pipelines_dir=str(Path(config["folder"]) / "pipelines"),
    )
    pipeline.run(source(config))
    seconds = time.perf_counter() - began
    with pipeline.sql_client() as client:
        ((records,),) = client.execute_sql("SELECT count(DISTINCT id) FROM messages") or ((0,),)
    print(json.dumps({"records": records, "seconds": seconds}))


if __name__ == "__main__":
    main()
