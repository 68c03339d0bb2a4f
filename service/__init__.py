"""Lianxin's node: the domain, its store, the actions people take, and the pages they take them on."""
