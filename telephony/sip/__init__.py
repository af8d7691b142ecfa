"""SIP without sockets: what edge, call workers and phone can share. Bytes and text in, values out."""
