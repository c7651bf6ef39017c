"""Base URLs, hosts, paths and proxies: what files and users may write in them."""
