"""How moments are written, by language: Django asks here before it uses its own formats."""
