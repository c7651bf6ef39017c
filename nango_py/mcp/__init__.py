"""The tools of language models by the Model Context Protocol, over stdio and HTTP. Needs the extra `mcp`."""
