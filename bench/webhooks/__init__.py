"""Webhooks through the whole way in: see `python -m bench.webhooks --help`."""
