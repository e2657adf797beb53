"""The rules of the device grant. Imports no other room of ours, no HTTP, no SQL, no Redis.

The stores it needs are Protocols in `ports.py`; `oauthdevice.wiring` supplies them.
"""
