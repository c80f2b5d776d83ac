"""The HTTP edge: who calls, what JSON is read, how refusals are told, and the tenants' own endpoints.

Views parse, call a verb and format; what may happen is decided by the verbs.
"""
