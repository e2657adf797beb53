"""Brings webhooks to their receivers: HTTP, and the loop of the process that does it. The rules are in `domain`."""
