"""The API in a process of its own, to be killed: `python -m tests.fakes.hook_server <database url> <port>`."""

from __future__ import annotations

import ctypes
import signal
import sys

import uvicorn

from sync.api.app import create_app
from sync.api.control import NoControl
from sync.base.settings import StoreSettings, WebhookSettings
from sync.wiring import open_runtime
from tests.fakes.hooks import CONNECTORS
from tests.integration.api.conftest import settings_for


def main() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # it ends with whoever started it
    url, port = sys.argv[1], int(sys.argv[2])
    settings = settings_for(url, connectors=CONNECTORS, webhooks=WebhookSettings(patience_s=5))
    store = StoreSettings(url=settings.store.url, pool_size=4, connect_timeout_s=2)
    settings = settings.model_copy(update={"store": store})
    app = create_app(settings, lambda: open_runtime(settings, application="api"), NoControl())
    uvicorn.run(app, host="127.0.0.1", port=port, log_config=None)


if __name__ == "__main__":
    main()
