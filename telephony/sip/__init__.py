"""SIP without sockets, what edge, call workers and phone share: messages, URIs, transactions, session descriptions."""
