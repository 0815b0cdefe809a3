"""Pages where people clear the queue: made on the server, and working without script."""
