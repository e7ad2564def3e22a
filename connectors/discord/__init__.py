"""Discord: guilds as a bot sees them."""
