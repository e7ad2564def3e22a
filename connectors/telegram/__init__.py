"""Telegram: a bot and the chats it is in."""
