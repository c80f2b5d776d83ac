"""The rows of the SBC: what its tenants configure, how far each SBC has come with it, and what calls were made.

Rows hold facts and constraints. They are written by the verbs (`sbc.configuration`, `sbc.tables`, `sbc.records`,
`sbc.testcalls`) and by nobody else.
"""

from sbc.models.configuration import Emergency, Route, RouteTarget, SourceRule, Trunk, TrunkSource
from sbc.models.records import CallRecord, TestCall
from sbc.models.tables import TableLog, Tables

__all__ = [
    "CallRecord",
    "Emergency",
    "Route",
    "RouteTarget",
    "SourceRule",
    "TableLog",
    "Tables",
    "TestCall",
    "Trunk",
    "TrunkSource",
]
