"""Every job that there is, in a SQLite file: what the topics say, to be listed and searched."""
