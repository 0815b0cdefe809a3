"""Tickets that other systems send, and what they are told of them."""
