"""What the Python suites share: the real server, tokens, and a forwarder that breaks."""
