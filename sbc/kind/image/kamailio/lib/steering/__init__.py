"""What the programs of an SBC's signalling container are made of: they ask its daemons and steer them."""
