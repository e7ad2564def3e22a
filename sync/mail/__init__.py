"""Mail: reading it without ever failing, telling copies apart, storing it.

A mail comes in as bytes and its place in a mailbox. It is stored once per account and copy, whatever the server does
to its numbering, with the raw bytes kept, so everything read from them can be read again by better code later.
"""
