"""The protocols under the auth modes: requests and answers as values, without sockets and clocks."""
