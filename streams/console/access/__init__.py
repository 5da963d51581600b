"""Who may do what: tokens for services, sessions for people, and what is refused before that."""
