"""How a probability of every category is read from what a chat model shows: pure conversions, no network."""
