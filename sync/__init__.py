"""Replication of append-only event streams between nodes that are often offline.

A node appends facts to its own ledger and exchanges them with a peer whenever a line exists. The package knows
streams, keys and bytes; it looks at no event's kind and knows nothing of what the events mean.
Start reading at `events.py` (what is stored), then `ledger.py` (where), then `exchange.py` (the conversation).
"""
