"""Pinterest: API v5 - Pins, what people do with them, and ads. It has no conversations."""
