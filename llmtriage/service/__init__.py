"""The HTTP service: an API for other programs, and pages where people clear the queue. Needs the extra `service`."""
