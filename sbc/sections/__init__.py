"""The parts of an SBC's configuration that are lists of named documents: trunks, routes, source rules.

A section knows its document, the columns kept beside it, what it must agree with, and the entries it makes. The
verbs that write them are in `sbc.configuration` and are the same for all.
"""
