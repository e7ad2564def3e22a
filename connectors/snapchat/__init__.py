"""Snapchat: ads by the Marketing API, public profiles where Snap has allowed our app to see them."""
