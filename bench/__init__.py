"""How fast the platform is, next to what the same machine needs for the same work done by hand."""
