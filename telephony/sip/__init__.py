"""SIP without sockets, shared by edge, call workers and phone: messages, URIs, transactions, session descriptions."""
