"""Twitter / X: API v2 for one person's account, and the X Ads API where its keys are given."""
