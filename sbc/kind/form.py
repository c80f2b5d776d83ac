"""The order form of an SBC: which fields stand together. Types and help of each come from the spec."""

from services.kind import Group

FORM = (
    Group("Sides", ("ports",), "Each side joins one of your segments. Trunks stand on a side."),
    Group("Size", ("most_calls", "most_calls_per_second", "longest_call", "media_timeout"), "What is refused above."),
    Group("Encryption", ("tls",), "Signalling over TLS. Without a certificate of yours the platform issues one."),
    Group(
        "Numbers",
        ("country", "realm", "resolvers"),
        "Country of numbers, own name, who knows names.",
    ),
    Group("Defence", ("source_limit", "ban", "longest_message"), "Who sends too much or guesses is not heard."),
    Group("Test call", ("test_call",), "The call by which the platform proves, again and again, that all of it works."),
)
