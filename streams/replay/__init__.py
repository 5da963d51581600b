"""Second chances: dead letters, read and replayed."""
