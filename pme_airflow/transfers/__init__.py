"""Transfers: operators that publish links to the places where people open them."""
