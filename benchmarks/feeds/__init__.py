"""What reads the same book frames, a process each."""
