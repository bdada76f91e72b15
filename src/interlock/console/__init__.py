"""What a person looks at: a live view of a gate in the terminal. It reads, and it can stop; it can raise nothing."""
