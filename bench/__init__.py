"""Our server, its peers and the floor that it stands on, at the same work on one machine: `make bench`."""
