"""TikTok: business accounts (posts, comments, messages, mentions, insights) and ads."""
