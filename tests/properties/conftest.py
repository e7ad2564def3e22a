"""Examples have no deadline: on a busy machine any of them may be slow."""

from hypothesis import settings

settings.register_profile("sync", deadline=None)
settings.load_profile("sync")
