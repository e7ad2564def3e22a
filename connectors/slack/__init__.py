"""Slack: Web API with bot tokens."""
