"""The schema's history: one file a version, in the order of `down_revision`."""
