"""What others wrote for the same work, each set up as a careful operator would.

A module is a contender; the folder beside it is what runs: `node` runs `oidc_provider`, `django_oauth_toolkit` runs
`django`. `python -m bench.peers.check` shows that both still do the work. Nothing here knows how to measure.
"""
