"""Everything that writes rows of tenants: one keyword-only function, one transaction, one audit row each."""
