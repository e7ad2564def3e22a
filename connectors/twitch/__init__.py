"""Twitch: a channel, its people and its talk."""
