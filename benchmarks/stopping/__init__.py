"""Early stopping rules, replayed over curves of configurations that were trained to their end."""
