"""Reddit: the Data API for an account and the subreddits it moderates."""
