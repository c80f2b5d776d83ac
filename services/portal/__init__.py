"""Pages of the portal about what is ordered and what stands."""
