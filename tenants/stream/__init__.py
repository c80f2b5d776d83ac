"""The live updates of open pages: server-sent events from the event log (`tenants.changes`).

An event says which topics and ids of one tenant changed and carries no contents: the page asks again for what it
shows, through the same door as before. `door` decides who may listen, `hub` reads the log once for all and passes it
on, `app` speaks HTTP.
"""
