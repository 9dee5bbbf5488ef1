"""What is written at the end; nothing is computed here."""
