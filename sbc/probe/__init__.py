"""A telephone that proves with a real call that an SBC works: a program of its own in a container of the SBC."""
