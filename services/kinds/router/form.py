"""The order form of a router: which fields stand together. Types and help of each come from the spec."""

from services.kind import Group

FORM = (
    Group("Ports", ("ports",), "Each port joins one of your segments."),
    Group("Static routes", ("static_routes",), "Ways that never change by themselves."),
    Group("BGP", ("bgp",), "Exchange routes with neighbours. A neighbour without filters exchanges everything."),
    Group("Address translation", ("nat",), "Share one address, or reach a host behind the router. IPv4."),
)
