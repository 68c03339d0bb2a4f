"""Where facts and accounts are kept, and the disposable tables that make them quick to read."""
