"""What may come in: the shape of bodies and their fields. Meaning is the domain's."""
