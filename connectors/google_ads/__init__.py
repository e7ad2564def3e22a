"""Google Ads: campaigns and their daily figures, by the query language of the Google Ads API."""
