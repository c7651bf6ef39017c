"""The connect server, where users connect their accounts in a browser. Needs the extra `server`."""
