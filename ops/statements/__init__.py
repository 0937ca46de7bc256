"""Statements of people: grants and links, as commands and the HTTP API record them."""
