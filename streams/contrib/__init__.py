"""What goes with other people's products; each module needs an extra of its own."""
