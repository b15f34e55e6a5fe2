"""Transfers: links to where people look at them."""
