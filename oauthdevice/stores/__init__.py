"""The only room that knows SQL and Redis. Gives and takes domain values."""
