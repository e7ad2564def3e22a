"""Facebook Pages, Messenger, Instagram professional accounts and Meta ads: one Graph API."""
