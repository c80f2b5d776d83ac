"""The REST API of what is sold and what stands. Views parse, call a verb and format; verbs decide."""
