"""The rules of the device grant. Imports nothing but itself: no HTTP, no SQL, no Redis.

The stores it needs are Protocols in `ports.py`; `oauthdevice.wiring` supplies them.
"""
