"""Evidence: what a run earned, where it came from, and what the result may claim."""
