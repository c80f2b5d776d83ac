"""The REST API of an SBC: what is configured, what happens, what happened. Views parse, call a verb and format."""
