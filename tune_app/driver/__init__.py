"""Which trial is next, what is written down, and who goes on."""
