"""What holds when things go wrong: each promise of docs/reliability.md has its command here."""
