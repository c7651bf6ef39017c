"""What the headers and bodies of responses say about limits."""
